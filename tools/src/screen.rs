//! The guest's display: whether it has one, how a person sees it, and pictures of it, by QEMU's machine protocol (QMP). Not
//! here: what is on it (`apps::display`), nor whether that is right ([`check`], [`sheet`]).

pub mod check;
pub mod sheet;
pub mod shots;

use crate::Failure;
use crate::qemu::{Board, PROGRAM};
use crate::scenario::{self, Changes};
use libos_core::scenario::Scenario;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A picture of the display, in a run's folder.
pub const FILE: &str = "screen.png";
/// Slots of each core that the broker keeps, if they have room, where there is a display: its own, the tracer's, and two for the
/// display.
const KEPT: u32 = 4;
/// How long QEMU may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two attempts to reach it.
const PAUSE: Duration = Duration::from_millis(10);
/// Windows that QEMU may be built with, the better first.
const BACKENDS: [&str; 2] = ["gtk", "sdl"];

/// Whether a machine has a display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// It has none.
    None,
    /// In a window of this kind.
    Window(&'static str),
    /// Nobody sees it, and a picture is taken when the run is over.
    Picture,
    /// Whatever is connected to a real board.
    Connected,
}

impl Screen {
    /// The kind that this host can show: a window if there is a display server, and QEMU has windows.
    pub fn of_host() -> Self {
        let served = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
        let help = Command::new(PROGRAM).args(["-display", "help"]).output();
        let known = help.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        Self::among(&known.unwrap_or_default(), served)
    }

    /// The kernel's command line, which asks for a display or does not.
    pub fn words(self, others: &str) -> String {
        match self {
            Self::None => others.into(),
            Self::Window(_) | Self::Picture | Self::Connected => format!("{others} display").trim().into(),
        }
    }

    /// The scenario, with changes. A display works in slots of the broker's, which keeps more of them for it, if they have room.
    ///
    /// # Errors
    /// What is wrong with the scenario.
    pub fn scenario(
        self,
        file: &Path,
        changes: &Changes,
        programs: Option<&[String]>,
    ) -> Result<Scenario, Failure> {
        let load = |changes: &Changes| scenario::load_changed(file, changes, programs);
        match self {
            Self::None => load(changes),
            _ => load(&Changes { kept: Some(KEPT), ..*changes }).or_else(|_| load(changes)),
        }
    }

    /// QEMU's arguments for a display. A Raspberry Pi has one anyway.
    pub fn arguments(self, board: Board) -> Vec<OsString> {
        let mut all: Vec<OsString> = Vec::new();
        if self != Self::None && board == Board::Virt {
            all.extend(["-device", "ramfb"].map(Into::into));
        }
        if let Self::Window(backend) = self {
            // Of several, the last counts.
            all.extend(["-display", backend].map(Into::into));
        }
        all
    }

    fn among(known: &str, served: bool) -> Self {
        let backend = BACKENDS.into_iter().find(|name| known.lines().any(|line| line.trim() == *name));
        backend.filter(|_| served).map_or(Self::Picture, Self::Window)
    }
}

/// Where QEMU listens. Goes when it is dropped.
#[derive(Debug)]
pub struct Socket(TempDir);

impl Socket {
    /// A place for one, with a short path: of longer ones a socket cannot be made.
    pub fn new() -> Result<Self, Failure> {
        tempfile::Builder::new()
            .prefix("qmp")
            .tempdir()
            .map(Self)
            .map_err(Failure::with("a folder for a socket"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("s")
    }

    /// What QEMU is told to listen there.
    pub fn arguments(&self) -> [OsString; 2] {
        let mut place = OsString::from("unix:");
        place.push(self.path());
        place.push(",server=on,wait=off");
        ["-qmp".into(), place]
    }
}

/// A connection to a running QEMU.
#[derive(Debug)]
pub struct Monitor {
    answers: BufReader<UnixStream>,
}

impl Monitor {
    /// Connects, as soon as QEMU listens.
    pub fn connect(socket: &Socket) -> Result<Self, Failure> {
        let begun = Instant::now();
        let stream = loop {
            match UnixStream::connect(socket.path()) {
                Ok(stream) => break stream,
                Err(_) if begun.elapsed() < PATIENCE => thread::sleep(PAUSE),
                Err(error) => return Err(Failure(format!("{PROGRAM} does not listen for QMP: {error}"))),
            }
        };
        stream.set_read_timeout(Some(PATIENCE)).map_err(Failure::with("QMP"))?;
        let mut monitor = Self { answers: BufReader::new(stream) };
        monitor.answer("QMP")?;
        monitor.command("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Takes a picture of what is on the screen now: nothing goes on meanwhile.
    pub fn picture(&mut self, file: &Path) -> Result<(), Failure> {
        self.command("stop", &json!({}))?;
        let file = std::path::absolute(file).map_err(Failure::with(file.display()))?;
        self.command("screendump", &json!({ "filename": file, "format": "png" }))?;
        self.command("cont", &json!({}))?;
        Ok(())
    }

    fn command(&mut self, name: &str, arguments: &Value) -> Result<Value, Failure> {
        let command = json!({ "execute": name, "arguments": arguments });
        writeln!(self.answers.get_mut(), "{command}").map_err(Failure::with(name))?;
        self.answer("return")
    }

    /// The next answer that has this key, past all events.
    fn answer(&mut self, key: &str) -> Result<Value, Failure> {
        loop {
            let mut line = String::new();
            let length = self.answers.read_line(&mut line).map_err(Failure::with("QMP"))?;
            if length == 0 {
                return Err(Failure("QMP: QEMU ended before it answered".into()));
            }
            let mut answer: Value = serde_json::from_str(&line).map_err(Failure::with("QMP"))?;
            match (answer.get(key).is_some(), answer.get("error")) {
                (true, _) => return Ok(answer[key].take()),
                (false, Some(error)) => return Err(Failure(format!("QMP: {}", error["desc"]))),
                (false, None) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::{Clock, Machine};
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_window_needs_a_display_server_and_a_qemu_with_windows() {
        let with =
            "Available display backend types:\nnone\nsdl\ngtk\n\nSome display backends support suboptions";
        assert_eq!(Screen::among(with, true), Screen::Window("gtk"));
        assert_eq!(Screen::among("none\nsdl\n", true), Screen::Window("sdl"));
        assert_eq!(Screen::among(with, false), Screen::Picture);
        assert_eq!(Screen::among("none\ncurses\nnot gtk\n", true), Screen::Picture);
    }

    #[test]
    fn only_a_machine_that_is_asked_for_a_display_has_one() {
        let virt = Machine { board: Board::Virt, cores: 4, gic: 2, clock: Clock::Instructions };
        let pi = Machine { board: Board::Rpi4, ..virt };
        let with = |machine: Machine, screen| {
            let all = machine.arguments((Path::new("k"), Path::new("a")), crate::qemu::Pace::Coarse, screen);
            all.join(std::ffi::OsStr::new(" ")).into_string().unwrap()
        };
        for machine in [virt, pi] {
            let without = with(machine, Screen::None);
            assert!(
                !without.contains("ramfb") && without.contains("-append exit=semihosting idle=spin -kernel")
            );
        }
        assert!(with(virt, Screen::Picture).contains("idle=spin display -device ramfb -kernel"));
        assert!(with(pi, Screen::Window("gtk")).contains("idle=spin display -display gtk -kernel"));
    }

    /// What a client sends to a server that says these lines, one after each command.
    fn talk(lines: Vec<&'static str>, client: impl FnOnce(&Socket)) -> Vec<String> {
        let socket = Socket::new().unwrap();
        let listener = UnixListener::bind(socket.path()).unwrap();
        let server = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut heard = Vec::new();
            let mut commands = BufReader::new(stream.try_clone().unwrap()).lines();
            for line in lines {
                if writeln!(&stream, "{line}").is_err() {
                    break;
                }
                heard.extend(commands.next().and_then(Result::ok));
            }
            heard
        });
        client(&socket);
        server.join().unwrap()
    }

    const NOTHING: &str = "{\"return\": {}}";

    #[test]
    fn a_picture_is_taken_while_the_machine_stands_still() {
        let event = "{\"event\": \"STOP\"}\n{\"return\": {}}";
        let heard = talk(vec!["{\"QMP\": {}}", NOTHING, event, NOTHING, NOTHING], |socket| {
            Monitor::connect(socket).unwrap().picture(Path::new("out/p.png")).unwrap();
        });
        let named = |line: &String| serde_json::from_str::<Value>(line).unwrap()["execute"].clone();
        assert_eq!(
            heard.iter().map(named).collect::<Vec<_>>(),
            ["qmp_capabilities", "stop", "screendump", "cont"]
        );
        assert!(heard[2].contains("out/p.png") && heard[2].contains("\"format\":\"png\""), "{}", heard[2]);
    }

    #[test]
    fn what_qemu_refuses_is_said() {
        talk(vec!["{\"QMP\": {}}", NOTHING, "{\"error\": {\"desc\": \"no console\"}}"], |socket| {
            let failed = Monitor::connect(socket).unwrap().picture(Path::new("p")).unwrap_err();
            assert!(failed.0.contains("no console"), "{failed:?}");
        });
        talk(vec!["{\"QMP\": {}}"], |socket| {
            assert!(Monitor::connect(socket).unwrap_err().0.contains("QEMU ended"));
        });
    }
}
