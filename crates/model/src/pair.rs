//! What of a new list was in the former one.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// For each of the new ones the place of the old one with the same identity. Identities are unique
/// in each list. Takes one pass, and one more when anything moved.
pub fn pair<'a, T, K: Ord>(
    old: &'a [T],
    new: &'a [T],
    identity: impl Fn(&'a T) -> K,
) -> Vec<Option<usize>> {
    let mut places: Option<BTreeMap<K, usize>> = None;
    let mut expected = 0;
    let find = |one: &'a T| {
        let key = identity(one);
        if old.get(expected).is_some_and(|it| identity(it) == key) {
            expected += 1;
            return Some(expected - 1);
        }
        let index = || old.iter().enumerate().map(|(place, it)| (identity(it), place)).collect();
        let found = places.get_or_insert_with(index).get(&key).copied();
        expected = found.map_or(expected, |place| place + 1);
        found
    };
    new.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_in_any_order() {
        let pair = |old: &[u8], new: &[u8]| pair(old, new, |one| *one);
        assert_eq!(pair(&[1, 2, 3], &[1, 2, 3]), [Some(0), Some(1), Some(2)]);
        assert_eq!(pair(&[1, 2, 3], &[3, 9, 1]), [Some(2), None, Some(0)]);
        assert_eq!(pair(&[1, 2, 3], &[2, 3]), [Some(1), Some(2)]);
        assert_eq!(pair(&[], &[2]), [None]);
    }
}
