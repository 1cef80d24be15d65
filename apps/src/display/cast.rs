//! Who takes part in the run: whose each environment is, and which colour that has.
//!
//! Not here: where it is learnt from ([`super::board`]).
#![forbid(unsafe_code)]

use super::board::{Board, Who};
use super::palette::{self, Order};
use alloc::vec::Vec;
use embedded_graphics::pixelcolor::Rgb888;
use libos_core::scenario::Scenario;

/// The broker's index.
const BROKER: u64 = 0;

/// An environment that was introduced and is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its index.
    pub index: u64,
    /// Whose it is.
    pub who: Who,
    /// Whether its index is another's by now.
    pub replaced: bool,
}

/// All who take part.
pub struct Cast {
    /// In the order in which they were introduced.
    pub members: Vec<Member>,
    order: Order,
    liboses: usize,
    /// By index: place among the members, plus one.
    places: Vec<u16>,
}

impl Cast {
    /// Of a scenario, for a display; only the broker is there.
    pub fn new(scenario: &Scenario, order: Order) -> Self {
        let mut cast = Self { members: Vec::new(), order, liboses: scenario.libos.len(), places: Vec::new() };
        cast.add(BROKER, Who::System);
        cast
    }

    /// Learns who was introduced since the last look.
    pub fn update(&mut self, board: &Board) {
        board.since(self.members.len() - 1).for_each(|(index, who)| self.add(index, who));
    }

    fn add(&mut self, index: u64, who: Who) {
        let at = index as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, 0);
        }
        if let Some(before) = usize::from(self.places[at]).checked_sub(1) {
            self.members[before].replaced = true;
        }
        self.members.push(Member { index, who, replaced: false });
        self.places[at] = self.members.len() as u16;
    }

    /// Whose an environment is; `None` of one that was not introduced yet.
    pub fn who(&self, index: u64) -> Option<Who> {
        let place = usize::from(*self.places.get(index as usize)?).checked_sub(1)?;
        Some(self.members[place].who)
    }

    /// A colour's word on this display.
    pub fn word(&self, colour: Rgb888) -> u32 {
        self.order.word(colour)
    }

    /// The word for the time of somebody's.
    pub fn time(&self, who: Who) -> u32 {
        self.word(match who {
            Who::System => palette::SYSTEM,
            Who::Party(party) if party >= self.liboses => palette::HOSTILE,
            Who::Party(party) => palette::own(party_colour(party, self.liboses)),
            Who::Client { party, client, .. } => palette::client(party_colour(party, self.liboses), client),
        })
    }
}

/// A party's colour, where there are so many libOSes.
pub fn party_colour(party: usize, liboses: usize) -> Rgb888 {
    if party < liboses { palette::LIBOS[party % palette::LIBOS.len()] } else { palette::HOSTILE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::tests::scenario;

    #[test]
    fn an_index_that_is_used_again_is_the_later_ones() {
        let board = Board::new();
        let mut cast = Cast::new(&scenario(), Order::BlueFirst);
        let client = Who::Client { party: 0, client: 1, core: 0 };
        board.introduce(4, Who::Party(0));
        cast.update(&board);
        board.introduce(4, client);
        cast.update(&board);
        cast.update(&board);
        assert_eq!([0, 4, 5].map(|index| cast.who(index)), [Some(Who::System), Some(client), None]);
        let replaced: alloc::vec::Vec<_> = cast.members.iter().map(|member| member.replaced).collect();
        assert_eq!(replaced, [false, true, false]);
    }

    #[test]
    fn a_client_is_brighter_than_its_scheduler_and_the_hostile_have_a_colour_of_their_own() {
        let cast = Cast::new(&scenario(), Order::BlueFirst);
        let light = |who| cast.time(who).to_be_bytes().into_iter().map(u32::from).sum::<u32>();
        let client = |client| Who::Client { party: 0, client, core: 0 };
        assert!(light(client(0)) > light(client(1)) && light(client(1)) > light(Who::Party(0)));
        assert_eq!(cast.time(Who::Party(2)), cast.word(palette::HOSTILE));
    }
}
