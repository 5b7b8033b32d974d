//! What tells our layout of the maps from a second one that tests compile beside it
//! (tests/layouts): there, this module is another one.

/// Bytes before everything else in a record.
pub(crate) const PADDING: usize = 0;

/// The programs of IPv4.
pub(crate) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/evenkeel.bpf.o"));

/// The programs of IPv6.
pub(crate) static OBJECT6: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/evenkeel6.bpf.o"));

/// The programs of IPv4 at tc.
pub(crate) static TC: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/evenkeel_tc.bpf.o"));

/// The programs of IPv6 at tc.
pub(crate) static TC6: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/evenkeel_tc6.bpf.o"));
