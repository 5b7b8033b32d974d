//! The second layout: everything stands eight bytes further on.

pub(crate) const PADDING: usize = 8;

pub(crate) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/padded.bpf.o"));

pub(crate) static OBJECT6: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/padded6.bpf.o"));

pub(crate) static TC: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/padded_tc.bpf.o"));

pub(crate) static TC6: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/padded_tc6.bpf.o"));
