//! Entries with stable indices and generations: a token of an entry that is gone finds nothing.

/// Index and generation of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// A growing table with a free list.
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
}

struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Slab<T> {
        Slab { entries: Vec::new(), free: Vec::new() }
    }

    /// Sets a place aside; it is filled with [`put`](Self::put).
    pub(crate) fn reserve(&mut self) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry { generation: 0, value: None });
            (self.entries.len() - 1) as u32
        });
        Key { index, generation: self.entries[index as usize].generation }
    }

    pub(crate) fn put(&mut self, key: Key, value: T) {
        let entry = &mut self.entries[key.index as usize];
        debug_assert_eq!(entry.generation, key.generation);
        entry.value = Some(value);
    }

    pub(crate) fn get(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation == key.generation { entry.value.as_mut() } else { None }
    }

    /// Takes the value out; its place stays set aside.
    pub(crate) fn take(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation == key.generation { entry.value.take() } else { None }
    }

    /// Gives the place back; the key means nothing from now on.
    pub(crate) fn release(&mut self, key: Key) -> Option<T> {
        let entry = &mut self.entries[key.index as usize];
        debug_assert_eq!(entry.generation, key.generation);
        entry.generation = entry.generation.wrapping_add(1) & GENERATIONS;
        self.free.push(key.index);
        entry.value.take()
    }

    /// Keys of all entries.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let keys = self.entries.iter().enumerate().filter(|(_, entry)| entry.value.is_some());
        keys.map(|(index, entry)| Key { index: index as u32, generation: entry.generation })
            .collect()
    }

    /// Entries in use.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }
}

/// Generations fit beside a kind into the upper half of an epoll token.
const GENERATIONS: u32 = (1 << 30) - 1;

/// What an epoll token points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Mailbox,
    Listener(Key),
    Client(Key),
    Upstream(Key),
}

impl Token {
    pub(crate) fn encode(self) -> u64 {
        let (kind, key) = match self {
            Token::Mailbox => return 0,
            Token::Listener(key) => (1u64, key),
            Token::Client(key) => (2, key),
            Token::Upstream(key) => (3, key),
        };
        kind << 62 | u64::from(key.generation) << 32 | u64::from(key.index)
    }

    pub(crate) fn decode(token: u64) -> Token {
        let key = Key { index: token as u32, generation: (token >> 32) as u32 & GENERATIONS };
        match token >> 62 {
            0 => Token::Mailbox,
            1 => Token::Listener(key),
            2 => Token::Client(key),
            _ => Token::Upstream(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_key_finds_nothing_even_when_its_place_is_used_again() {
        let mut slab = Slab::new();
        let first = slab.reserve();
        slab.put(first, 'a');
        assert_eq!(slab.release(first), Some('a'));
        let second = slab.reserve();
        slab.put(second, 'b');
        assert_eq!(first.index, second.index);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get(second), Some(&mut 'b'));
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn tokens_survive_the_journey() {
        let key = Key { index: u32::MAX, generation: GENERATIONS };
        for token in
            [Token::Mailbox, Token::Listener(key), Token::Client(key), Token::Upstream(key)]
        {
            assert_eq!(Token::decode(token.encode()), token);
        }
    }
}
