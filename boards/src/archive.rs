//! The boot archive: a tar file with the kernel's settings and every program.
//!
//! `kernel.conf` is text, one `name=value` a line, `#` begins a comment; see [`Settings`].

use tar_no_std::TarArchiveRef;
use tranche_abi::layout::MAX_SLOTS;

/// The file with the settings.
const SETTINGS: &str = "kernel.conf";

/// How the kernel is to divide time, and to whom it gives the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings<'a> {
    /// `first`: the program that becomes the first environment, a file of the archive.
    pub first: &'a str,
    /// `quantum_us`: length of a slot, 10 to 1 000 000 µs.
    pub quantum_us: u64,
    /// `slots`: slots of each core's vector, 1 to 256.
    pub slots: u64,
    /// `grace_us`: how long an activation may keep the CPU past the end of its slice, at most a quantum.
    pub grace_us: u64,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self { first: "broker", quantum_us: 1000, slots: 100, grace_us: 100 }
    }
}

/// What is wrong with the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveError {
    /// Not a tar file, or damaged.
    NotTar,
    /// The settings are not text.
    NotText,
    /// This line (from 1) of the settings has no known name, or no value in range.
    BadSetting(usize),
}

/// A boot archive that was checked as a whole.
#[derive(Clone, Debug)]
pub struct Archive<'a>(TarArchiveRef<'a>);

impl<'a> Archive<'a> {
    /// Checks the archive.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ArchiveError> {
        TarArchiveRef::new(bytes).map(Self).map_err(|_| ArchiveError::NotTar)
    }

    /// The content of a file.
    pub fn file(&self, name: &str) -> Option<&'a [u8]> {
        let is_it = |entry: &tar_no_std::ArchiveEntry<'_>| entry.filename().as_str().is_ok_and(|n| n == name);
        self.0.entries().find(is_it).map(|entry| entry.data())
    }

    /// The settings; defaults for those that are not given.
    pub fn settings(&self) -> Result<Settings<'a>, ArchiveError> {
        match self.file(SETTINGS) {
            Some(bytes) => Settings::parse(core::str::from_utf8(bytes).map_err(|_| ArchiveError::NotText)?),
            None => Ok(Settings::default()),
        }
    }
}

impl<'a> Settings<'a> {
    fn parse(text: &'a str) -> Result<Self, ArchiveError> {
        let mut settings = Self::default();
        for (i, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or("").trim();
            if !line.is_empty() && settings.set(line).is_none() {
                return Err(ArchiveError::BadSetting(i + 1));
            }
        }
        settings.grace_us = settings.grace_us.min(settings.quantum_us);
        Ok(settings)
    }

    fn set(&mut self, line: &'a str) -> Option<()> {
        let (name, value) = line.split_once('=')?;
        let value = value.trim();
        let (field, range) = match name.trim() {
            "first" if value.is_empty() => return None,
            "first" => {
                self.first = value;
                return Some(());
            }
            "quantum_us" => (&mut self.quantum_us, 10..=1_000_000),
            "slots" => (&mut self.slots, 1..=MAX_SLOTS as u64),
            "grace_us" => (&mut self.grace_us, 0..=1_000_000),
            _ => return None,
        };
        *field = value.parse().ok().filter(|value| range.contains(value))?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_defaults_comments_and_bounds() {
        assert_eq!(Settings::parse(""), Ok(Settings::default()));
        let given = Settings { first: "alone", quantum_us: 500, slots: 8, grace_us: 100 };
        let text = "# time\nquantum_us = 500\n\nslots=8 # few\nfirst = alone\n";
        assert_eq!(Settings::parse(text), Ok(given));
        assert_eq!(Settings::parse("first="), Err(ArchiveError::BadSetting(1)));
        assert_eq!(Settings::parse("slots=8\nslots=257"), Err(ArchiveError::BadSetting(2)));
        assert_eq!(Settings::parse("quantum_us=fast"), Err(ArchiveError::BadSetting(1)));
        assert_eq!(Settings::parse("quanta=1"), Err(ArchiveError::BadSetting(1)));
        assert_eq!(Settings::parse("slots"), Err(ArchiveError::BadSetting(1)));
    }

    #[test]
    fn the_grace_time_never_exceeds_a_quantum() {
        assert_eq!(Settings::parse("quantum_us=50").map(|s| s.grace_us), Ok(50));
    }

    #[test]
    fn damaged_archives_are_refused() {
        assert_eq!(Archive::new(&[]).err(), Some(ArchiveError::NotTar));
        assert_eq!(Archive::new(&[7; 2048]).err(), Some(ArchiveError::NotTar));
    }
}
