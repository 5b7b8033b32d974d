//! The Internet checksum (RFC 1071), and what stands before the message when it is summed.

use core::net::IpAddr;

use super::PROTOCOL;

/// A sum under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum(u64);

impl Sum {
    /// With these bytes added; a last odd one counts as the high half of a word.
    pub(super) fn with(self, bytes: &[u8]) -> Sum {
        let (words, last) = bytes.as_chunks::<2>();
        let words: u64 = words.iter().map(|&word| u64::from(u16::from_be_bytes(word))).sum();
        let last = last.first().map_or(0, |&byte| u64::from(byte) << 8);
        Sum(self.0 + words + last)
    }

    /// The pseudo header of IPv4 (RFC 793 3.1) or IPv6 (RFC 8200 8.1) before a message of this
    /// many bytes.
    pub(super) fn of_pseudo_header(source: IpAddr, destination: IpAddr, length: usize) -> Sum {
        let Sum(sum) = Sum::default().with_address(source).with_address(destination);
        Sum(sum + u64::from(PROTOCOL) + length as u64)
    }

    fn with_address(self, address: IpAddr) -> Sum {
        match address {
            IpAddr::V4(address) => self.with(&address.octets()),
            IpAddr::V6(address) => self.with(&address.octets()),
        }
    }

    /// The checksum: zero over a message that carries its own.
    pub(super) fn finish(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_comes_out() {
        let sum = Sum::default().with(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.finish(), !0xddf2);
    }

    #[test]
    fn an_odd_byte_is_the_high_half_of_a_word() {
        assert_eq!(Sum::default().with(&[1, 2, 3]), Sum::default().with(&[1, 2, 3, 0]));
    }
}
