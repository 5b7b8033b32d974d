//! Lists that are short nearly always.

use alloc::vec::Vec;

/// A list whose first elements need no room of their own: those of a block that says a few things,
/// of which a large file has as many as it has servers.
#[derive(Clone, Debug)]
pub(crate) struct ShortList<T, const N: usize> {
    first: [T; N],
    /// Elements in `first`.
    count: usize,
    more: Vec<T>,
}

impl<T: Copy + Default, const N: usize> ShortList<T, N> {
    pub(crate) fn push(&mut self, one: T) {
        match self.first.get_mut(self.count) {
            Some(place) => {
                *place = one;
                self.count += 1;
            }
            None => self.more.push(one),
        }
    }

    /// Everything, in the order it came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first[..self.count].iter().chain(&self.more)
    }
}

impl<T: Copy + Default, const N: usize> Default for ShortList<T, N> {
    fn default() -> ShortList<T, N> {
        ShortList { first: [T::default(); N], count: 0, more: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_not_so_short_keeps_its_order() {
        let mut list = ShortList::<u8, 2>::default();
        assert_eq!(list.iter().count(), 0);
        (1..=4).for_each(|one| list.push(one));
        assert_eq!(list.iter().copied().collect::<Vec<u8>>(), [1, 2, 3, 4]);
    }
}
