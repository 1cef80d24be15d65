//! The archive that Linux unpacks as its first file system: the program as `/init`, a place for `/proc`, and files that the
//! program wants. Its format is
//! cpio's "newc" (Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`).

/// A directory, a file that may be run, and one that may be read; all with permissions (POSIX, `cpio.h`).
const DIRECTORY: u32 = 0o40755;
const PROGRAM: u32 = 0o100755;
const FILE: u32 = 0o100644;
/// The name of the last entry.
const TRAILER: &str = "TRAILER!!!";

/// An archive with this program as `/init`, and these files by name. The console's device is in the kernel's own archive.
pub fn archive(program: &[u8], files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    let first: [(&str, u32, &[u8]); 2] = [("proc", DIRECTORY, &[]), ("init", PROGRAM, program)];
    let files = files.iter().map(|(name, contents)| (*name, FILE, *contents));
    let entries = first.into_iter().chain(files).chain([(TRAILER, 0, &[][..])]);
    for (number, (name, mode, contents)) in (0..).zip(entries) {
        let fields: [usize; 13] =
            [number, mode as usize, 0, 0, 1, 0, contents.len(), 0, 0, 0, 0, name.len() + 1, 0];
        archive.extend(b"070701");
        fields.iter().for_each(|field| archive.extend(format!("{field:08x}").as_bytes()));
        archive.extend(name.as_bytes());
        archive.push(0);
        align(&mut archive);
        archive.extend(contents);
        align(&mut archive);
    }
    archive
}

/// Names and contents begin at multiples of four.
fn align(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, mode and contents of each entry, read as the format says.
    fn entries(mut rest: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut all = Vec::new();
        while !rest.is_empty() {
            assert_eq!(&rest[..6], b"070701");
            let text = std::str::from_utf8(&rest[6..110]).unwrap();
            let field = |index: usize| usize::from_str_radix(&text[index * 8..][..8], 16).unwrap();
            let (mode, length, name_length) = (field(1) as u32, field(6), field(11));
            let name = std::str::from_utf8(&rest[110..][..name_length - 1]).unwrap().to_string();
            assert_eq!(rest[110 + name_length - 1], 0);
            let begin = (110 + name_length).next_multiple_of(4);
            all.push((name, mode, rest[begin..][..length].to_vec()));
            rest = &rest[(begin + length).next_multiple_of(4)..];
        }
        all
    }

    #[test]
    fn the_program_is_what_linux_starts_and_its_files_are_beside_it() {
        let read = entries(&archive(b"12345", &[("plan", b"abc")]));
        let names: Vec<_> = read.iter().map(|(name, _, _)| name.as_str()).collect();
        assert_eq!(names, ["proc", "init", "plan", TRAILER]);
        assert_eq!(read[1], ("init".into(), 0o100755, b"12345".to_vec()));
        assert_eq!(read[2], ("plan".into(), 0o100644, b"abc".to_vec()));
        assert_eq!(read[0].1, 0o40755);
    }

    #[test]
    fn the_same_program_gives_the_same_bytes() {
        assert_eq!(archive(b"x", &[]), archive(b"x", &[]));
        assert_eq!(archive(b"x", &[]).len() % 4, 0);
    }
}
