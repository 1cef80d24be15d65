//! Something for each client, found by its number in one step: numbers are dense, so this is an array.
#![forbid(unsafe_code)]

use super::ClientId;
use alloc::vec::Vec;

/// At most one `T` for each client.
#[derive(Clone, Debug)]
pub struct Table<T>(Vec<Option<T>>);

impl<T> Table<T> {
    /// Nothing for anybody.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// From now on a client has this; what it had before.
    pub fn insert(&mut self, id: ClientId, value: T) -> Option<T> {
        let place = usize::from(id.0);
        if place >= self.0.len() {
            self.0.resize_with(place + 1, || None);
        }
        self.0[place].replace(value)
    }

    /// From now on a client has nothing; what it had before.
    pub fn remove(&mut self, id: ClientId) -> Option<T> {
        self.0.get_mut(usize::from(id.0))?.take()
    }

    /// What a client has.
    pub fn get(&self, id: ClientId) -> Option<&T> {
        self.0.get(usize::from(id.0))?.as_ref()
    }

    /// The same, to change.
    pub fn get_mut(&mut self, id: ClientId) -> Option<&mut T> {
        self.0.get_mut(usize::from(id.0))?.as_mut()
    }

    /// Whether a client has anything.
    pub fn contains(&self, id: ClientId) -> bool {
        self.get(id).is_some()
    }

    /// What everybody has, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten()
    }

    /// All who have something, in the order of their numbers, with what they have.
    pub fn iter(&self) -> impl Iterator<Item = (ClientId, &T)> {
        (0..).map(ClientId).zip(&self.0).filter_map(|(id, value)| Some((id, value.as_ref()?)))
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn each_client_has_what_it_was_given_last_until_that_is_taken() {
        let mut table = Table::new();
        assert_eq!((table.insert(ClientId(5), 'a'), table.insert(ClientId(2), 'b')), (None, None));
        assert_eq!(
            (table.insert(ClientId(5), 'c'), table.get(ClientId(3)), table.get(ClientId(9))),
            (Some('a'), None, None)
        );
        assert_eq!(table.iter().collect::<Vec<_>>(), vec![(ClientId(2), &'b'), (ClientId(5), &'c')]);
        assert_eq!((table.remove(ClientId(2)), table.remove(ClientId(2))), (Some('b'), None));
        assert!(!table.contains(ClientId(2)) && table.contains(ClientId(5)));
    }
}
