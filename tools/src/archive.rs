//! The boot archive: a tar file with the programs, the scenario and the kernel's few settings. The same contents give the
//! same bytes. Not here: who reads it (the kernel its settings and the first program, that one everything else).

use crate::{Failure, image};
use libos_core::scenario::{self, Scenario};
use std::io::Read;
use std::path::Path;

/// The kernel's settings in the archive.
const KERNEL_SETTINGS: &str = "kernel.conf";

/// A program: its name in the archive and its ELF file.
pub type Program = (String, Vec<u8>);

/// Every EL0 program in a folder that cargo built into, by name.
pub fn programs(folder: &Path) -> Result<Vec<Program>, Failure> {
    let about = || format!("the programs in {}", folder.display());
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Failure::with(about()))? {
        let path = entry.map_err(Failure::with(about()))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| !name.contains('.'))
        else {
            continue;
        };
        if path.is_file() {
            let bytes = std::fs::read(&path).map_err(Failure::with(path.display()))?;
            if image::is_elf(&bytes) {
                let kept = image::loadable(&bytes).map_err(Failure::with(path.display()))?;
                all.push((name.to_string(), kept));
            }
        }
    }
    all.sort();
    Ok(all)
}

/// The archive for a run.
pub fn build(programs: &[Program], scenario: &Scenario) -> Result<Vec<u8>, Failure> {
    let settings = kernel_settings(scenario);
    let encoded = scenario.encode();
    let mut files: Vec<(&str, &[u8])> =
        programs.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
    files.push((scenario::FILE, &encoded));
    files.push((KERNEL_SETTINGS, settings.as_bytes()));
    files.sort();
    if let Some(pair) = files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Failure(format!("two files of the boot archive are called {:?}", pair[0].0)));
    }
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o444);
        header.set_mtime(0);
        archive.append_data(&mut header, name, bytes).map_err(Failure::with("the boot archive"))?;
    }
    archive.into_inner().map_err(Failure::with("the boot archive"))
}

/// The scenario in an archive.
///
/// # Errors
/// If there is none that this build understands.
pub fn scenario(archive: &[u8]) -> Result<Scenario, Failure> {
    let failed = || {
        Failure("the boot archive has no scenario that these tools understand: make the card again".into())
    };
    let mut files = tar::Archive::new(archive);
    for file in files.entries().map_err(Failure::with("the boot archive"))? {
        let mut file = file.map_err(Failure::with("the boot archive"))?;
        if file.path().is_ok_and(|path| path == Path::new(scenario::FILE)) {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(Failure::with("the boot archive"))?;
            return Scenario::decode(&bytes).map_err(|_| failed());
        }
    }
    Err(failed())
}

fn kernel_settings(scenario: &Scenario) -> String {
    let Scenario { quantum_us, slots, grace_us, .. } = scenario;
    format!("first={}\nquantum_us={quantum_us}\nslots={slots}\ngrace_us={grace_us}\n", scenario.first())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::tests::elf_file;

    fn scenario() -> Scenario {
        let text = "name = \"t\"\nduration_ms = 1000\n[[libos]]\nname = \"a\"\nprogram = \"selftest\"\npolicy = \"none\"\nincome = 1\nwant = 9\n";
        crate::scenario::parse(text, None, None).unwrap()
    }

    #[test]
    fn the_archive_has_every_file_sorted_and_nothing_of_the_host() {
        let programs = [("stride".into(), vec![1; 700]), ("broker".into(), vec![2])];
        let bytes = build(&programs, &scenario()).unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut names = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_string();
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents).unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 0);
            match name.as_str() {
                "kernel.conf" => {
                    assert_eq!(contents, b"first=broker\nquantum_us=1000\nslots=100\ngrace_us=50\n")
                }
                "scenario" => assert_eq!(Scenario::decode(&contents), Ok(scenario())),
                "stride" => assert_eq!(contents, [1; 700]),
                _ => assert_eq!(contents, [2]),
            }
            names.push(name);
        }
        assert_eq!(names, ["broker", "kernel.conf", "scenario", "stride"]);
        assert_eq!(build(&programs, &scenario()).unwrap(), bytes);
    }

    #[test]
    fn the_scenario_is_found_in_its_archive_and_missed_in_another() {
        let bytes = build(&[("stride".into(), vec![1; 700])], &scenario()).unwrap();
        assert_eq!(super::scenario(&bytes), Ok(scenario()));
        assert!(super::scenario(&bytes[..1024]).is_err());
        assert!(
            super::scenario(&tar::Builder::new(Vec::new()).into_inner().unwrap())
                .unwrap_err()
                .0
                .contains("no scenario")
        );
    }

    #[test]
    fn a_program_cannot_take_the_place_of_the_scenario() {
        let failure = build(&[("scenario".into(), vec![])], &scenario()).unwrap_err();
        assert!(failure.0.contains("\"scenario\""));
    }

    #[test]
    fn programs_are_the_elf_files_without_an_extension() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        write("stride", &elf_file(&[(0, b"code")]));
        write("broker", &elf_file(&[(0, b"code")]));
        write("broker.d", b"broker: main.rs");
        write("notes", b"not a program");
        std::fs::create_dir(folder.path().join("deps")).unwrap();
        let names: Vec<_> = programs(folder.path()).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["broker", "stride"]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        assert!(programs(Path::new("no/such/folder")).unwrap_err().0.contains("no/such/folder"));
    }
}
