//! What each argument of each call is for, from its name and type in the call table. One whose type is not known here gets
//! values of every kind.
//!
//! Not here: the values (`arguments`).
#![forbid(unsafe_code)]

/// What an argument is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A handle.
    Handle,
    /// A handle and an activation.
    Target,
    /// A frame.
    Frame,
    /// A virtual address.
    Address,
    /// A time.
    Tick,
    /// A core.
    Core,
    /// A slot.
    Slot,
    /// An activation.
    Activation,
    /// An object.
    Object,
    /// A capability's first word.
    Body,
    /// A capability's second word.
    Mac,
    /// A set of rights, or of event bits.
    Bits,
    /// A small number.
    Small,
    /// Not known here.
    Any,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $number:literal $variant:ident $name:ident { $($argument:ident : $type:ty),* };)*) => {
        /// The kinds of each call's arguments, in the order of the table.
        pub const KINDS: &[&[Kind]] = &[$(&[$(kind(stringify!($argument), stringify!($type))),*]),*];
    };
}
tranche_abi::call_table!(kinds);

/// The kind of an argument of that name and type.
const fn kind(name: &str, of: &str) -> Kind {
    const KNOWN: &[(&str, Kind)] = &[
        ("Handle", Kind::Handle),
        ("Target", Kind::Target),
        ("Frame", Kind::Frame),
        ("Address", Kind::Address),
        ("Tick", Kind::Tick),
        ("Core", Kind::Core),
        ("SlotIndex", Kind::Slot),
        ("ActivationIndex", Kind::Activation),
        ("ObjectBits", Kind::Object),
        ("RightsBits", Kind::Bits),
        ("ProtectionBits", Kind::Small),
        ("YieldMode", Kind::Small),
        ("body", Kind::Body),
        ("mac", Kind::Mac),
        ("bits", Kind::Bits),
        ("count", Kind::Small),
        ("resource", Kind::Small),
        ("client", Kind::Small),
        ("page", Kind::Small),
        ("direction", Kind::Small),
        ("length", Kind::Small),
    ];
    let mut place = 0;
    while place < KNOWN.len() {
        if same(KNOWN[place].0, of) || same(KNOWN[place].0, name) {
            return KNOWN[place].1;
        }
        place += 1;
    }
    Kind::Any
}

/// Whether two names are the same, for constants.
pub(super) const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut place = 0;
    while place < one.len() && place < other.len() && one[place] == other[place] {
        place += 1;
    }
    place == one.len() && place == other.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tranche_abi::calls::NAMES;

    #[test]
    fn the_kinds_of_arguments_follow_the_call_table() {
        let of = |name| KINDS[NAMES.iter().position(|(_, known)| *known == name).unwrap()];
        assert_eq!(KINDS.len(), NAMES.len());
        assert_eq!(of("null"), []);
        assert_eq!(of("slot_take"), [Kind::Body, Kind::Mac, Kind::Activation]);
        assert_eq!(of("ask"), [Kind::Target, Kind::Small, Kind::Core, Kind::Small, Kind::Tick]);
        assert_eq!(of("grant"), [Kind::Object, Kind::Bits]);
    }
}
