//! Names and source lines for the addresses in a kernel panic. Not here: how a panic is recognised (`console`).

use crate::Failure;
use addr2line::Loader;
use std::fmt;
use std::path::Path;

/// The kernel's symbols.
pub struct Symbols(Loader);

impl fmt::Debug for Symbols {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Symbols")
    }
}

impl Symbols {
    /// Those in an ELF file.
    pub fn of(kernel: &Path) -> Result<Self, Failure> {
        Loader::new(kernel).map(Self).map_err(Failure::with(kernel.display()))
    }

    /// The functions that a return address lies in, innermost inlined one first: name and place.
    pub fn describe(&self, address: u64) -> Vec<String> {
        // The call is the instruction before the one returned to.
        let call = address.wrapping_sub(1);
        let mut all = Vec::new();
        if let Ok(mut frames) = self.0.find_frames(call) {
            while let Ok(Some(frame)) = frames.next() {
                let name = frame
                    .function
                    .as_ref()
                    .and_then(|name| name.demangle().ok().map(|name| name.into_owned()));
                let place = frame.location.and_then(|place| Some((shortened(place.file?), place.line?)));
                if let Some(name) = name {
                    all.push(match place {
                        Some((file, line)) => format!("{name} ({file}:{line})"),
                        None => name,
                    });
                }
            }
        }
        if all.is_empty() {
            all.push(self.0.find_symbol(call).unwrap_or("unknown").to_string());
        }
        all
    }
}

/// A source file's path as seen from here, where it is below.
fn shortened(file: &str) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    Path::new(file).strip_prefix(here).unwrap_or(Path::new(file)).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use elf::ElfBytes;
    use elf::endian::LittleEndian;

    #[test]
    fn a_function_of_this_very_program_is_found_by_its_address() {
        let program = std::env::current_exe().unwrap();
        let bytes = std::fs::read(&program).unwrap();
        let file = ElfBytes::<LittleEndian>::minimal_parse(&bytes).unwrap();
        let (table, names) = file.symbol_table().unwrap().unwrap();
        let wanted = |name: &str| name.contains("tranche_tools") && name.contains("major_version");
        let symbol =
            table.iter().find(|symbol| names.get(symbol.st_name as usize).is_ok_and(wanted)).unwrap();
        let described = Symbols::of(&program).unwrap().describe(symbol.st_value + 1);
        assert!(described.last().unwrap().contains("tranche_tools::qemu::major_version"), "{described:?}");
        assert!(described.last().unwrap().contains("qemu.rs:"), "{described:?}");
    }
}
