//! The listings in `docs/primitives.md` are compared with the code that they show.
//! Not here: whether what the page says of them is true.
#![forbid(unsafe_code)]

const PAGE: &str = include_str!("../../docs/primitives.md");
const CODE: &str = include_str!("../src/arch/aarch64/trap.rs");

/// An instruction without its comment.
fn instruction(line: &str) -> &str {
    line.split("//").next().unwrap_or(line).trim()
}

/// The instructions of each listing.
fn listings() -> Vec<Vec<&'static str>> {
    let blocks = PAGE.split("```asm\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(|block| block.lines().map(instruction).filter(|line| !line.is_empty()).collect()).collect()
}

#[test]
fn every_listing_stands_in_the_code_instruction_by_instruction() {
    let listings = listings();
    assert!(listings.len() >= 4);
    for listing in listings {
        let mut code = CODE.lines().map(instruction);
        for wanted in listing {
            assert!(code.any(|line| line == wanted), "the vectors do not have, in this place: {wanted}");
        }
    }
}
