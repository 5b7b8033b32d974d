//! The values of a BPF array, mapped into this process for reading: a walk over millions of them
//! costs no system call.

use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::bpf::Map;

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// An array's values as words of 64 bits, in the machine's byte order. Whoever else has the map
/// may change them at any time; each word is read whole.
#[derive(Debug)]
pub struct MappedArray {
    at: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread; it is read by atomic loads only.
unsafe impl Send for MappedArray {}
// SAFETY: as above.
unsafe impl Sync for MappedArray {}

impl MappedArray {
    /// Maps an array that was created with BPF_F_MMAPABLE and holds values of whole words.
    pub fn over(map: &Map) -> io::Result<MappedArray> {
        let length = map.value_size() * map.max_entries() as usize;
        if !map.value_size().is_multiple_of(WORD) || length == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "values of broken words"));
        }
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing of ours. The
        // kernel refuses a length beyond the array, whose values stand one behind the other since
        // their size is a multiple of eight, and a map that is no array or not to be mapped.
        let at = unsafe {
            let shared = MapFlags::SHARED;
            mmap(std::ptr::null_mut(), length, ProtFlags::READ, shared, map.as_fd(), 0)?
        };
        match NonNull::new(at.cast()) {
            Some(at) => Ok(MappedArray { at, words: length / WORD }),
            None => Err(io::Error::other("mapped at address zero")),
        }
    }

    /// Words in the array.
    pub fn len(&self) -> usize {
        self.words
    }

    /// Whether there is none: never.
    pub fn is_empty(&self) -> bool {
        self.words == 0
    }

    /// The words from `first` on, read in their order, each of them after the one before it.
    /// `None` beyond the end.
    pub fn load<const COUNT: usize>(&self, first: usize) -> Option<[u64; COUNT]> {
        let mut words = [0; COUNT];
        self.load_into(first, &mut words).then_some(words)
    }

    /// The same for as many words as there is room. False, and nothing read, beyond the end.
    pub fn load_into(&self, first: usize, words: &mut [u64]) -> bool {
        if first.checked_add(words.len()).is_none_or(|end| end > self.words) {
            return false;
        }
        for (offset, word) in words.iter_mut().enumerate() {
            // SAFETY: `first + offset` is below the number of words of the mapping, which is
            // aligned to a page and lives as long as `self`. A relaxed load of eight bytes does
            // not write, as memory mapped read-only demands.
            *word = unsafe { self.at.add(first + offset).as_ref() }.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
        }
        true
    }
}

impl Drop for MappedArray {
    fn drop(&mut self) {
        // SAFETY: exactly what `over` mapped, and nobody borrows from it any more. It cannot fail.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), self.words * WORD) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::MapKind;

    #[test]
    fn a_mapped_array_shows_what_is_written_and_ends_where_it_ends() {
        let Ok(map) = Map::create(MapKind::MappableArray, "mapped", 4, 24, 5) else {
            println!("skipped: no BPF here");
            return;
        };
        let mapped = MappedArray::over(&map).unwrap();
        assert_eq!((mapped.len(), mapped.is_empty()), (15, false));
        let value: Vec<u8> = [7u64, 8, 9].iter().flat_map(|word| word.to_ne_bytes()).collect();
        map.update(&4u32.to_ne_bytes(), &value).unwrap();
        assert_eq!(mapped.load(11), Some([0, 7, 8, 9]));
        assert_eq!(mapped.load::<4>(12), None);
        let mut two = [0; 2];
        assert!(mapped.load_into(12, &mut two) && two == [7, 8]);
        assert!(!mapped.load_into(14, &mut two) && two == [7, 8]);
        assert_eq!(mapped.load::<1>(usize::MAX), None);
    }

    #[test]
    fn a_map_that_cannot_be_mapped_is_an_error() {
        let Ok(map) = Map::create(MapKind::Array, "plain", 4, 8, 5) else {
            println!("skipped: no BPF here");
            return;
        };
        assert!(MappedArray::over(&map).is_err());
        let odd = Map::create(MapKind::MappableArray, "odd", 4, 12, 5).unwrap();
        assert!(MappedArray::over(&odd).is_err());
    }
}
