//! Well-formed files are read as they are; every mutated one is refused or still satisfies the invariant.
use super::*;
use alloc::vec;
use proptest::prelude::*;

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;

struct Part {
    kind: u32,
    flags: u32,
    address: u64,
    bytes: Vec<u8>,
    memory: u64,
}

fn text() -> Part {
    Part { kind: PT_LOAD, flags: PF_R | PF_X, address: IMAGE_BASE, bytes: vec![0xa5; 5000], memory: 5000 }
}

fn data() -> Part {
    Part { kind: PT_LOAD, flags: PF_R | PF_W, address: IMAGE_BASE + 0x4000, bytes: vec![7; 10], memory: 9000 }
}

/// An ELF file of these parts, which are stored one after the other.
fn file(entry: u64, parts: &[Part]) -> Vec<u8> {
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend(ET_EXEC.to_le_bytes());
    file.extend(EM_AARCH64.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    for field in [entry, HEADER as u64, 0] {
        file.extend(field.to_le_bytes());
    }
    file.extend(0u32.to_le_bytes());
    for field in [HEADER as u16, PROGRAM_HEADER as u16, parts.len() as u16, 0, 0, 0] {
        file.extend(field.to_le_bytes());
    }
    let mut offset = (HEADER + PROGRAM_HEADER * parts.len()) as u64;
    for part in parts {
        file.extend(part.kind.to_le_bytes());
        file.extend(part.flags.to_le_bytes());
        for field in [offset, part.address, part.address, part.bytes.len() as u64, part.memory, PAGE_SIZE] {
            file.extend(field.to_le_bytes());
        }
        offset += part.bytes.len() as u64;
    }
    parts.iter().for_each(|part| file.extend(&part.bytes));
    file
}

fn refusal(parts: &[Part]) -> ImageError {
    Image::parse(&file(IMAGE_BASE, parts)).unwrap_err()
}

#[test]
fn a_static_executable_is_read_as_it_is() {
    let file = file(IMAGE_BASE + 8, &[text(), data()]);
    let image = Image::parse(&file).unwrap();
    assert_eq!(image.entry, Address(IMAGE_BASE + 8));
    let seen: Vec<_> =
        image.segments.iter().map(|s| (s.address.0, s.pages, s.protection, s.bytes.len())).collect();
    let expected =
        [(IMAGE_BASE, 2, Protection::ReadExecute, 5000), (IMAGE_BASE + 0x4000, 3, Protection::ReadWrite, 10)];
    assert_eq!(seen, expected);
    assert_eq!(image.pages(), 5);
}

#[test]
fn each_kind_of_malformed_file_is_refused_for_its_reason() {
    assert_eq!(Image::parse(b"no program").unwrap_err(), ImageError::NotElf);
    assert_eq!(refusal(&[]), ImageError::Empty);
    assert_eq!(refusal(&[Part { kind: PT_INTERP, ..text() }]), ImageError::NotStatic);
    assert_eq!(refusal(&[Part { kind: PT_TLS, ..data() }]), ImageError::NotStatic);
    assert_eq!(refusal(&[Part { flags: PF_R | PF_W | PF_X, ..text() }]), ImageError::BadProtection);
    assert_eq!(refusal(&[Part { flags: PF_X, ..text() }]), ImageError::BadProtection);
    assert_eq!(refusal(&[Part { address: IMAGE_BASE + 8, ..text() }]), ImageError::Unaligned);
    assert_eq!(refusal(&[Part { address: 0, ..text() }]), ImageError::Misplaced);
    assert_eq!(refusal(&[Part { address: u64::MAX - 4095, ..text() }]), ImageError::Misplaced);
    assert_eq!(refusal(&[Part { memory: IMAGE_END, ..text() }]), ImageError::Misplaced);
    assert_eq!(refusal(&[text(), Part { address: IMAGE_BASE + 0x1000, ..data() }]), ImageError::Misplaced);
    assert_eq!(refusal(&[Part { memory: 10, ..text() }]), ImageError::Truncated);
    assert_eq!(refusal(&[Part { flags: PF_R, ..text() }]), ImageError::BadEntry);
    let odd = file(IMAGE_BASE + 2, &[text()]);
    assert_eq!(Image::parse(&odd).unwrap_err(), ImageError::BadEntry);
}

#[test]
fn a_file_for_another_machine_or_kind_is_refused() {
    let good = file(IMAGE_BASE, &[text()]);
    let with = |place: usize, value: u8| {
        let mut file = good.clone();
        file[place] = value;
        Image::parse(&file).map(drop)
    };
    assert_eq!(with(18, 62), Err(ImageError::WrongMachine));
    assert_eq!(with(16, 3), Err(ImageError::NotStatic));
    assert_eq!(with(5, 2), Err(ImageError::NotElf));
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    let good = file(IMAGE_BASE, &[text(), data()]);
    for length in 0..good.len() {
        assert!(Image::parse(&good[..length]).is_err(), "cut at {length}");
    }
}

fn assert_invariant(image: &Image<'_>) {
    let mut free_from = IMAGE_BASE;
    for segment in &image.segments {
        assert!(segment.address.0 >= free_from && segment.address.0.is_multiple_of(PAGE_SIZE));
        assert!(segment.bytes.len() as u64 <= segment.pages * PAGE_SIZE);
        free_from = segment.address.0 + segment.pages * PAGE_SIZE;
        assert!(free_from <= IMAGE_END);
    }
    assert!((IMAGE_BASE..IMAGE_END).contains(&image.entry.0));
}

proptest! {
    #[test]
    fn no_change_of_headers_panics_or_breaks_the_invariant(
        changes in prop::collection::vec((0usize..HEADER + 2 * PROGRAM_HEADER, any::<u8>()), 1..6),
    ) {
        let mut file = file(IMAGE_BASE, &[text(), data()]);
        for (place, value) in changes {
            file[place] = value;
        }
        if let Ok(image) = Image::parse(&file) {
            assert_invariant(&image);
        }
    }

    #[test]
    fn no_extreme_field_panics_or_breaks_the_invariant(
        field in 0usize..(HEADER + 2 * PROGRAM_HEADER) / 8,
        value in prop::sample::select(vec![0, 1, u64::MAX, u64::MAX - 4095, 1 << 63, IMAGE_BASE, IMAGE_END]),
    ) {
        let mut file = file(IMAGE_BASE, &[text(), data()]);
        file[field * 8..field * 8 + 8].copy_from_slice(&value.to_le_bytes());
        if let Ok(image) = Image::parse(&file) {
            assert_invariant(&image);
        }
    }
}
