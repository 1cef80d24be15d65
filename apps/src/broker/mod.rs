//! The broker: the first environment. It holds every root capability, makes the libOSes, and shares slots among them,
//! revolution by revolution, until the scenario's time is up.
//!
//! * [`market`]: the arithmetic of bids and places. [`slots`]: who owns what. [`trade`]: asking, taking, giving. [`party`]: one libOS's account.
//!   [`endings`]: who fails, leaves, or is dead. [`succession`]: and has an heir.
//!   [`recorder`]: having the run recorded. [`card`]: having its results kept on a card. [`presenter`]: having it shown.
//!
//! Not here: any scheduling within a libOS. It works in the slots that it keeps for itself on core 0; those on other
//! cores, and slots that nobody bought, stay idle.
#![forbid(unsafe_code)]

pub mod card;
pub mod endings;
pub mod machine;
pub mod market;
pub mod party;
pub mod presenter;
pub mod recorder;
pub mod slots;
pub mod succession;
pub mod summary;
pub mod trade;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use card::Card;
use core::fmt;
use libos_core::archive::{self, Archive};
use libos_core::frames::Frames;
use libos_core::public::{View, view};
use libos_core::report::{self, MachineState, Record, Start};
use libos_core::scenario::{FILE, Scenario};
use libos_core::spawn::{Child, SpawnError, spawn};
use libos_core::start::StartInfo;
use libos_core::{calls, output, page, say};
use party::{Party, Role, Stage};
use presenter::Presenter;
use recorder::Recorder;
use slots::SlotMap;
use trade::Terms;
use tranche_abi::Tick;
use tranche_abi::layout::HANDLE_MACHINE;

/// What went wrong.
enum Trouble {
    /// The archive is missing, or has no scenario that this build understands.
    NoScenario,
    /// The scenario is for another number of cores than the machine has.
    Cores { scenario: u32, machine: u64 },
    /// A party's environment could not be made.
    Spawn { party: String, error: SpawnError },
}

/// Runs the scenario and switches the machine off.
pub fn main(info: StartInfo) {
    let passed = match Broker::begin(&info) {
        Ok(mut broker) => broker.run(),
        Err(trouble) => {
            say!("broker: {trouble}");
            false
        }
    };
    output::report(&end(passed));
    // Refused only to somebody who is not the first environment.
    let _ = calls::power_off(HANDLE_MACHINE, code(passed));
}

/// Says which machine and which run this is: first, and again near the end.
pub fn announce(scenario: &Scenario, view: View, state: Option<MachineState>) {
    output::report(&Record::Start(Start {
        version: report::VERSION,
        board: view.board(),
        gic: view.gic(),
        cores: view.cores(),
        frequency: view.frequency(),
        quantum: view.quantum().0,
        slots: view.slots(),
        epoch: view.epoch().0,
        scenario: scenario.name.clone(),
        seed: scenario.seed,
        state,
    }));
    output::report(&Record::Scenario { encoded: scenario.encode() });
}

/// The last record.
pub fn end(passed: bool) -> Record {
    Record::End { passed, code: code(passed), state: machine::state() }
}

/// How the machine is switched off; 0 is success.
fn code(passed: bool) -> u64 {
    u64::from(!passed)
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoScenario => write!(f, "the boot archive has no scenario that this build understands"),
            Self::Cores { scenario, machine } => {
                write!(f, "the scenario is for {scenario} cores, the machine has {machine}")
            }
            Self::Spawn { party, error } => write!(f, "{party} cannot be made: {error:?}"),
        }
    }
}

struct Broker {
    scenario: Scenario,
    view: View,
    archive: Archive<'static>,
    frames: Frames,
    /// Who owns which slot, read at the beginning of each revolution's work.
    map: SlotMap,
    parties: Vec<Party>,
    /// Names of environments, for the ledgers.
    names: BTreeMap<u64, String>,
    /// The recording that is being made, if one is.
    recorder: Option<Recorder>,
    /// How the machine was when the run began.
    state: Option<MachineState>,
    /// The display, if there is one.
    presenter: Option<Presenter>,
    /// The card on which the results are kept as well, if there is one.
    card: Option<Card>,
    /// When the run began: in the middle of the broker's own slot, as every revolution's work does, when the other cores'
    /// slots have begun as well.
    start: Tick,
    /// Whether everything went as it should so far.
    passed: bool,
}

impl Broker {
    /// Reads the scenario. The broker owns the whole machine and has given nothing away.
    fn begin(info: &StartInfo) -> Result<Self, Trouble> {
        let archive = archive::boot().ok_or(Trouble::NoScenario)?;
        let file = archive.file(FILE).ok_or(Trouble::NoScenario)?;
        let scenario = Scenario::decode(file).map_err(|_| Trouble::NoScenario)?;
        let view = view();
        if u64::from(scenario.cores) != view.cores() {
            return Err(Trouble::Cores { scenario: scenario.cores, machine: view.cores() });
        }
        let libos = scenario.libos.iter().map(|l| Party::new(&l.name, Role::LibOs(l.clone())));
        let hostile = scenario.hostile.iter().map(|h| Party::new(&h.name, Role::Hostile(h.clone())));
        let mut broker = Self {
            parties: libos.chain(hostile).collect(),
            view,
            archive,
            frames: Frames::new(info.owned_frames()),
            map: SlotMap::read(view),
            names: BTreeMap::from([(0, "broker".into())]),
            recorder: None,
            state: machine::state(),
            presenter: None,
            card: None,
            start: Tick(0),
            passed: true,
            scenario,
        };
        broker.begin_card();
        announce(&broker.scenario, view, broker.state);
        broker.record()?;
        broker.present()?;
        broker.arrivals(0)?;
        Ok(broker)
    }

    /// Has the run recorded, if the scenario wants it.
    fn record(&mut self) -> Result<(), Trouble> {
        if !self.scenario.trace {
            return Ok(());
        }
        let trouble = |error| Trouble::Spawn { party: recorder::NAME.into(), error };
        let recorder = {
            let parts = self.card.as_ref().map_or(&[][..], |card| &card.parts);
            Recorder::begin(&mut self.frames, &self.archive, &self.scenario, parts).map_err(trouble)?
        };
        self.names.insert(recorder.child.index, recorder::NAME.into());
        self.recorder = Some(recorder);
        Ok(())
    }

    /// Has the run shown, if the machine has a display.
    fn present(&mut self) -> Result<(), Trouble> {
        let trouble = |error| Trouble::Spawn { party: presenter::NAME.into(), error };
        self.presenter =
            Presenter::begin(&mut self.frames, &self.archive, &self.scenario).map_err(trouble)?;
        let Some(presenter) = &self.presenter else { return Ok(()) };
        self.names.insert(presenter.child.index, presenter::NAME.into());
        self.names.iter().for_each(|(index, name)| presenter.introduce(&self.scenario, *index, name));
        Ok(())
    }

    /// Runs to the scenario's end and tells what happened. True if everything was in order.
    fn run(&mut self) -> bool {
        let revolutions = self.scenario.revolutions();
        let revolution = self.view.revolution();
        let now = self.view.position(page::now()).map_or(0, |position| position.revolution);
        let first = now + 1;
        let look = self.view.epoch().0 + self.view.quantum().0 / 2;
        self.start = Tick(look + first * revolution.0);
        self.presenter.iter().for_each(|presenter| presenter.start(self.start));
        for number in 0..revolutions {
            let due = Tick(self.start.0 + number * revolution.0);
            page::sleep_until(due);
            self.count(due);
            self.revolution();
            output::report(&Record::Progress { revolution: number, of: revolutions, now: page::now().0 });
            self.presenter.iter().for_each(|presenter| presenter.turn(due));
        }
        page::sleep_until(Tick(self.start.0 + revolutions * revolution.0));
        self.finish(revolution);
        self.passed
    }

    /// One revolution's work.
    fn revolution(&mut self) {
        let elapsed_ms = page::now().since(self.start).0 * 1000 / self.view.frequency().max(1);
        self.listen();
        if let Err(trouble) = self.arrivals(elapsed_ms) {
            say!("broker: {trouble}");
            self.passed = false;
        }
        self.departures(elapsed_ms);
        self.bury_the_dead();
        self.press_hostile(elapsed_ms);
        for party in &mut self.parties {
            party.steer_failure(elapsed_ms);
            party.steer_swap(elapsed_ms);
        }
        let terms = terms(&self.scenario, self.view);
        trade::revolution(&terms, &mut self.map, &mut self.parties);
        for party in &mut self.parties {
            trade::settle_hostile(&terms, &mut self.map, party);
            party.remember_slots(&self.map);
        }
    }

    fn listen(&mut self) {
        for party in &mut self.parties {
            let (names, presenter) = (&mut self.names, &self.presenter);
            party.listen(|index, name| {
                presenter.iter().for_each(|one| one.introduce(&self.scenario, index, &name));
                introduce(names, index, name);
            });
        }
    }

    /// Keeps account of the revolution that ended. Only looks that are exactly a revolution apart can be compared; one
    /// that comes late, because the broker was busy longer than its slot, does not count.
    fn count(&mut self, due: Tick) {
        let slices: Vec<u64> = self.parties.iter().map(|party| party.slices(self.view)).collect();
        let in_time = page::now().since(due).0 < self.view.quantum().0 / 4;
        self.map = SlotMap::read(self.view);
        for (party, slices) in self.parties.iter_mut().zip(slices) {
            party.count_returns(&self.map);
            party.count_revolution(&self.map, in_time.then_some(slices));
        }
    }

    /// Makes those whose time has come.
    fn arrivals(&mut self, elapsed_ms: u64) -> Result<(), Trouble> {
        for party in &mut self.parties {
            let arrives = party.libos().map_or(0, |libos| u64::from(libos.arrives_ms));
            if party.stage != Stage::Coming || arrives > elapsed_ms {
                continue;
            }
            let trouble = |error| Trouble::Spawn { party: party.name.clone(), error };
            let plan = party.plan(&self.scenario).ok_or(trouble(SpawnError::BadPlan))?;
            let child = spawn(&mut self.frames, &self.archive, &plan).map_err(trouble)?;
            output::report(&Record::Env { index: child.index, name: party.name.clone() });
            self.names.insert(child.index, party.name.clone());
            self.presenter.iter().for_each(|one| one.introduce(&self.scenario, child.index, &party.name));
            party.child = Some(child);
            party.stage = Stage::Present;
        }
        Ok(())
    }

    /// Everybody reports, then the broker does.
    fn finish(&mut self, revolution: Tick) {
        self.presenter.iter().for_each(Presenter::end);
        let until = Tick(page::now().0 + self.report_time());
        let present = |party: &&mut Party| party.stage == Stage::Present && party.libos().is_some();
        self.parties.iter_mut().filter(present).for_each(|party| party.ask_for_report(until));
        let reporting = |party: &Party| matches!(party.stage, Stage::Reporting(_)) && !party.has_reported();
        let mut next = page::now().0;
        while self.parties.iter().any(reporting) && page::now() < until {
            next += revolution.0;
            page::sleep_until(Tick(next));
            self.listen();
        }
        self.listen();
        for place in 0..self.parties.len() {
            if reporting(&self.parties[place]) {
                self.miss_report(place);
            }
        }
        if let Some(recorder) = &self.recorder {
            self.passed &= recorder.stop().is_ok();
        }
        announce(&self.scenario, self.view, self.state);
        self.passed &= summary::report(self.view, &mut self.parties, &self.names);
        self.put_on_card();
        self.end_recording();
        self.end_display();
    }

    fn take_all_slots_back(&mut self) {
        (0..self.parties.len()).for_each(|place| self.end_party(place));
    }

    fn pass_on_the_tracers_words(&mut self) {
        let Some(recorder) = &mut self.recorder else { return };
        let mut said = Vec::new();
        recorder.child.reader.read(&mut said);
        output::write(&said);
    }

    /// The rest of what was recorded leaves the machine. The run is over and accounted for: all slots are the broker's again.
    fn end_recording(&mut self) {
        if self.recorder.is_none() {
            return;
        }
        self.take_all_slots_back();
        let patience = self.report_time();
        let Some(recorder) = &mut self.recorder else { return };
        if recorder.end(self.view, patience) != Ok(true) {
            say!("broker: the tracer did not send the rest in time");
            self.passed = false;
        }
        self.pass_on_the_tracers_words();
    }

    /// The last picture is on the screen, and stays there for a moment.
    fn end_display(&mut self) {
        let Some(presenter) = &mut self.presenter else { return };
        pass_on(&mut presenter.child);
        if !presenter.done(self.view) {
            say!("broker: the display did not draw the last picture in time");
            self.passed = false;
        }
    }
}

/// Passes on what a child of the broker's own has said.
fn pass_on(child: &mut Child) {
    let mut said = Vec::new();
    child.reader.read(&mut said);
    output::write(&said);
}

/// A party made an environment: its name, for the ledgers and for whoever reads what was recorded.
fn introduce(names: &mut BTreeMap<u64, String>, index: u64, name: String) {
    output::report(&Record::Env { index, name: name.clone() });
    names.insert(index, name);
}

/// The terms of trade now.
fn terms(scenario: &Scenario, view: View) -> Terms<'_> {
    let patience = Tick(u64::from(scenario.broker.patience_ms) * view.frequency() / 1000);
    Terms { scenario, now: page::now(), patience }
}
