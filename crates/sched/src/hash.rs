//! Hashes of addresses with the kernel's constants: what another director, or IPVS itself, hashes
//! must fall into the same slot.

use core::net::IpAddr;

/// Kernel: GOLDEN_RATIO_32 of include/linux/hash.h.
const GOLDEN_RATIO: u32 = 0x61c8_8647;

/// An address as one number: an IPv6 address is folded. Kernel: `addr_fold` of each scheduler.
pub fn fold(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            (bits >> 96) as u32 ^ (bits >> 64) as u32 ^ (bits >> 32) as u32 ^ bits as u32
        }
    }
}

/// The upper bits of a multiplication. Kernel: hash_32.
pub(crate) const fn multiplied(value: u32, bits: u32) -> u32 {
    value.wrapping_mul(GOLDEN_RATIO) >> (32 - bits)
}

/// SipHash-1-3 of one number under a key of twice the same word, as 64-bit kernels have it under
/// the name of HalfSipHash. Kernel: hsiphash_1u32 in lib/siphash.c.
pub(crate) fn siphash(value: u32, key: u64) -> u32 {
    let mut state = [
        0x736f_6d65_7073_6575 ^ key,
        0x646f_7261_6e64_6f6d ^ key,
        0x6c79_6765_6e65_7261 ^ key,
        0x7465_6462_7974_6573 ^ key,
    ];
    let block = 4u64 << 56 | u64::from(value);
    state[3] ^= block;
    round(&mut state);
    state[0] ^= block;
    state[2] ^= 0xff;
    for _ in 0..3 {
        round(&mut state);
    }
    (state[0] ^ state[1] ^ state[2] ^ state[3]) as u32
}

fn round([v0, v1, v2, v3]: &mut [u64; 4]) {
    *v0 = v0.wrapping_add(*v1);
    *v1 = v1.rotate_left(13) ^ *v0;
    *v0 = v0.rotate_left(32);
    *v2 = v2.wrapping_add(*v3);
    *v3 = v3.rotate_left(16) ^ *v2;
    *v0 = v0.wrapping_add(*v3);
    *v3 = v3.rotate_left(21) ^ *v0;
    *v2 = v2.wrapping_add(*v1);
    *v1 = v1.rotate_left(17) ^ *v2;
    *v2 = v2.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siphash_is_that_of_the_standard_library() {
        use std::hash::{DefaultHasher, Hasher};
        for value in [0, 1, 1234, 0xc633_6407, u32::MAX] {
            let mut hasher = DefaultHasher::new();
            hasher.write(&value.to_le_bytes());
            assert_eq!(siphash(value, 0), hasher.finish() as u32, "its key is 0");
            assert_ne!(siphash(value, 0), siphash(value, 1));
        }
    }

    #[test]
    fn ipv6_addresses_are_folded_into_their_four_words() {
        assert_eq!(fold("192.0.2.1".parse().unwrap()), 0xc000_0201);
        let folded = fold("2001:db8::1:0:0:1".parse().unwrap());
        assert_eq!(folded, 0x2001_0db8 ^ 0x0001_0000 ^ 1);
    }

    #[test]
    fn the_multiplication_takes_the_upper_bits() {
        assert_eq!(multiplied(1, 8), 0x61);
        assert_eq!(multiplied(2, 8), 0xc3);
        assert_eq!(multiplied(0xc000_0201, 8), (0xc000_0201u32.wrapping_mul(0x61c8_8647)) >> 24);
    }
}
