//! A recording as a file: a magic word, a version, and the recording in postcard's encoding.
//!
//! A step is kept as the mark that it is in a trace, so that a file and a trace mean the same by it. Not here: anything
//! else that runs are exported to.

use super::Recording;
use crate::Failure;
use libos_core::sched::steps::{Mark, Step};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::path::Path;
use tranche_abi::trace::WORDS;

/// What a recording's file begins with.
const MAGIC: [u8; 8] = *b"tranche\n";
/// The version of its contents; grows with every change of [`Recording`] and of steps.
const VERSION: u8 = 4;

impl Recording {
    /// The file's bytes: the same for the same recording.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        // Writing to memory that grows fails for no value of these types.
        bytes.extend(postcard::to_allocvec(self).unwrap_or_default());
        bytes
    }

    /// The recording in a file's bytes.
    ///
    /// # Errors
    /// If they are no recording, one of another version, or damaged: in words.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Failure> {
        let content = bytes.strip_prefix(&MAGIC).and_then(|rest| rest.split_first());
        match content {
            None => Err(Failure("this is not a recording".into())),
            Some((&VERSION, content)) => {
                postcard::from_bytes(content).map_err(|_| Failure("the recording is damaged".into()))
            }
            Some((version, _)) => Err(Failure(format!(
                "the recording has version {version}, and this tool reads version {VERSION}: record it again"
            ))),
        }
    }

    /// Writes the file.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        std::fs::write(path, self.to_bytes()).map_err(Failure::with(path.display()))
    }

    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let bytes = std::fs::read(path).map_err(Failure::with(path.display()))?;
        Self::from_bytes(&bytes).map_err(|Failure(why)| Failure(format!("{}: {why}", path.display())))
    }
}

/// As the marks that they are in a trace.
pub(super) fn serialize<S: Serializer>(steps: &[Step], serializer: S) -> Result<S::Ok, S::Error> {
    let marks = steps.iter().map(|step| step.mark());
    let marks: Vec<_> = marks.map(|Mark { kind, detail, words }| (kind, detail, words)).collect();
    marks.serialize(serializer)
}

/// From the marks that they are in a trace.
pub(super) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Vec<Step>, D::Error> {
    let marks = Vec::<(u8, u32, [u64; WORDS])>::deserialize(deserializer)?;
    let step = |(kind, detail, words)| {
        Step::from_mark(&Mark { kind, detail, words }).ok_or_else(|| D::Error::custom("not a step"))
    };
    marks.into_iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Client, Job, Scheduler, Slice, Source, Turn};
    use libos_core::scenario::Policy;
    use libos_core::sched::{ClientId, Decision, Tick};

    fn recording() -> Recording {
        let decision = Decision { client: ClientId(0), until: Tick(9) };
        let steps =
            vec![Step::Decided { now: Tick(1), decision }, Step::Idle { now: Tick(2), until: Tick::NEVER }];
        let client = Client {
            libos: "a".into(),
            name: "b/1".into(),
            core: Some(1),
            tickets: 3,
            deadline: Some(7),
            period: None,
            until: 99,
        };
        Recording {
            source: Source::Simulator,
            scenario: "test".into(),
            seed: 4,
            cores: 2,
            frequency: 1000,
            quantum: 10,
            slots: 3,
            epoch: 5,
            end: 99,
            clients: vec![client],
            schedulers: vec![Scheduler {
                libos: "a".into(),
                core: 1,
                policy: Policy::Edf,
                admission: libos_core::scenario::Admission::Required,
                clients: vec![0],
                currencies: Default::default(),
                steps,
                step_cores: Vec::new(),
                own: 8,
            }],
            slices: vec![Slice { core: 1, begin: 5, end: 15, owner: Some(0) }],
            turns: vec![Turn { client: 0, core: 1, begin: 6, end: 9, ran: 3 }],
            jobs: vec![Job {
                client: 0,
                number: 0,
                released: 5,
                due: Some(12),
                completed: None,
                demand: 4,
                used: 3,
            }],
            lost: 0,
            cost: None,
        }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let file = tempfile::NamedTempFile::new().unwrap();
        recording().save(file.path()).unwrap();
        assert_eq!(Recording::load(file.path()), Ok(recording()));
    }

    #[test]
    fn another_version_damage_and_other_files_are_told_apart() {
        let good = recording().to_bytes();
        let mut other = good.clone();
        other[MAGIC.len()] += 1;
        let said = |bytes: &[u8]| Recording::from_bytes(bytes).unwrap_err().0;
        assert!(said(&other).contains(&format!("has version {}", VERSION + 1)));
        assert!(said(&good[..good.len() - 1]).contains("damaged"));
        assert!(said(b"{}").contains("not a recording"));
    }
}
