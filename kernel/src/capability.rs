//! Self-authenticating capabilities: 64 bits that say what is allowed, 64 bits that prove who said it.
//!
//! Not here: who may have one made ([`crate::authority`]) and what a bound one is used for ([`crate::handles`]).
#![forbid(unsafe_code)]

use core::hash::Hasher;
use siphasher::sip::SipHasher24;
use tranche_abi::{Capability, Error, Object, ObjectBits, Rights};

/// What a capability says: the same 64 bits that a handle-table entry holds once the proof was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The object.
    pub object: Object,
    /// What may be done with it.
    pub rights: Rights,
    /// Which life of the object is meant; 24 bits.
    pub generation: u32,
}

/// Generations are kept and compared in this many bits.
pub const GENERATION_MASK: u32 = 0xff_ffff;

impl Claim {
    /// The claim as 64 bits: object in 0..32, rights in 32..40, generation in 40..64.
    pub fn to_bits(self) -> u64 {
        self.object.to_bits().0
            | (self.rights.0 as u64) << 32
            | ((self.generation & GENERATION_MASK) as u64) << 40
    }

    /// The claim that 64 bits make; `None` if they name no kind of object.
    pub fn from_bits(bits: u64) -> Option<Self> {
        let object = Object::from_bits(ObjectBits(bits & 0xffff_ffff))?;
        Some(Self { object, rights: Rights((bits >> 32) as u8), generation: (bits >> 40) as u32 })
    }
}

/// The key under which this boot's capabilities are sealed.
#[derive(Clone, Copy)]
pub struct Mint {
    key: [u64; 2],
}

impl Mint {
    /// A mint with the boot-time key.
    pub const fn new(key: [u64; 2]) -> Self {
        Self { key }
    }

    /// Seals a claim.
    pub fn seal(&self, claim: Claim) -> Capability {
        let body = claim.to_bits();
        Capability { body, mac: self.mac(body) }
    }

    /// Checks the proof of a capability that somebody presents.
    pub fn open(&self, capability: Capability) -> Result<Claim, Error> {
        if self.mac(capability.body) != capability.mac {
            return Err(Error::Forged);
        }
        Claim::from_bits(capability.body).ok_or(Error::Forged)
    }

    fn mac(&self, body: u64) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.key[0], self.key[1]);
        hasher.write_u64(body);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tranche_abi::Kind;

    const CLAIM: Claim =
        Claim { object: Object { kind: Kind::Frame, index: 77 }, rights: Rights::READ, generation: 9 };

    #[test]
    fn a_sealed_claim_opens_to_itself() {
        let mint = Mint::new([1, 2]);
        assert_eq!(mint.open(mint.seal(CLAIM)), Ok(CLAIM));
    }

    #[test]
    fn any_changed_bit_is_a_forgery() {
        let mint = Mint::new([1, 2]);
        let true_one = mint.seal(CLAIM);
        for bit in 0..64 {
            let body = Capability { body: true_one.body ^ 1 << bit, ..true_one };
            let mac = Capability { mac: true_one.mac ^ 1 << bit, ..true_one };
            assert_eq!(mint.open(body), Err(Error::Forged));
            assert_eq!(mint.open(mac), Err(Error::Forged));
        }
    }

    #[test]
    fn another_boots_capability_is_a_forgery() {
        assert_eq!(Mint::new([3, 4]).open(Mint::new([1, 2]).seal(CLAIM)), Err(Error::Forged));
    }
}
