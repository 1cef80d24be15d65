//! Takes the empty tokens (`FDT_NOP`) out of a flattened device tree. Boot loaders and QEMU leave them where they blotted
//! a node or property out; the `fdt` crate does not expect them between nodes.

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// Devicetree specification 0.4, 5.2: offsets of the fields of the header.
const HEADER_STRUCT_OFFSET: usize = 8;
const HEADER_STRUCT_SIZE: usize = 36;

/// The tree's structure block is not what the specification says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Moves all tokens of the tree to the front of its structure block, but for empty ones.
pub fn remove(tree: &mut [u8]) -> Result<(), Malformed> {
    let begin = word(tree, HEADER_STRUCT_OFFSET)? as usize;
    let end = begin.checked_add(word(tree, HEADER_STRUCT_SIZE)? as usize).ok_or(Malformed)?;
    let block = tree.get_mut(begin..end).ok_or(Malformed)?;
    let (mut from, mut to) = (0, 0);
    while from < block.len() {
        let token = word(block, from)?;
        let size = token_size(block, from, token)?;
        if token != NOP {
            block.copy_within(from..from + size, to);
            to += size;
        }
        from += size;
        if token == END {
            break;
        }
    }
    tree[HEADER_STRUCT_SIZE..HEADER_STRUCT_SIZE + 4].copy_from_slice(&(to as u32).to_be_bytes());
    Ok(())
}

/// Bytes of the token at `at` with what belongs to it.
fn token_size(block: &[u8], at: usize, token: u32) -> Result<usize, Malformed> {
    let size: usize = match token {
        BEGIN_NODE => {
            let name = block.get(at + 4..).ok_or(Malformed)?;
            4 + name.iter().position(|byte| *byte == 0).ok_or(Malformed)? + 1
        }
        PROPERTY => 12 + word(block, at + 4)? as usize,
        END_NODE | NOP | END => 4,
        _ => return Err(Malformed),
    };
    let size = size.next_multiple_of(4);
    if size <= block.len() - at { Ok(size) } else { Err(Malformed) }
}

fn word(bytes: &[u8], at: usize) -> Result<u32, Malformed> {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Malformed)?;
    Ok(u32::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn tree(words: &[u32]) -> Vec<u8> {
        let mut header = [0u32; 10];
        header[HEADER_STRUCT_OFFSET / 4] = 40;
        header[HEADER_STRUCT_SIZE / 4] = words.len() as u32 * 4;
        header.iter().chain(words).flat_map(|word| word.to_be_bytes()).collect()
    }

    const NAME: u32 = 0x6162_6300; // "abc"

    #[test]
    fn empty_tokens_go_and_all_else_stays_in_order() {
        let mut given = tree(&[
            NOP, BEGIN_NODE, 0, NOP, PROPERTY, 5, 7, NOP, NOP, NOP, BEGIN_NODE, NAME, END_NODE, NOP,
            END_NODE, END,
        ]);
        // A property's value may look like a token: two of the three above are its five bytes, padded.
        let wanted = [BEGIN_NODE, 0, PROPERTY, 5, 7, NOP, NOP, BEGIN_NODE, NAME, END_NODE, END_NODE, END];
        assert_eq!(remove(&mut given), Ok(()));
        let size = word(&given, HEADER_STRUCT_SIZE).expect("there") as usize;
        assert_eq!(&given[40..40 + size], &tree(&wanted)[40..]);
    }

    #[test]
    fn malformed_trees_are_refused() {
        assert_eq!(remove(&mut []), Err(Malformed));
        assert_eq!(remove(&mut tree(&[77])), Err(Malformed));
        assert_eq!(remove(&mut tree(&[BEGIN_NODE, 0x6162_6364])), Err(Malformed));
        assert_eq!(remove(&mut tree(&[PROPERTY, u32::MAX, 0])), Err(Malformed));
    }
}
