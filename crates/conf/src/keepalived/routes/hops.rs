//! Gateways: `via`, and `nexthop` for several.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::IpAddr;

use model::vrrp::{Family, NextHop};

use crate::keepalived::lexer::Word;
use crate::keepalived::options::{Claim, Options, realms};
use crate::keepalived::reader::Reader;
use crate::suggest;

/// What follows `via`: `[inet|inet6] ADDRESS`.
pub(super) fn gateway(
    reader: &mut Reader<'_>,
    options: &mut Options<'_, '_>,
    option: &Word<'_>,
    family: &mut Claim,
) -> Option<IpAddr> {
    if option.text == "gw" {
        reader.warning(option.span, "gw is an old word".to_string(), "write via");
    }
    for (word, said) in [("inet", Family::Ipv4), ("inet6", Family::Ipv6)] {
        if options.skip(word) {
            family.claim(reader, said, option.span);
        }
    }
    let word = options.value(reader, option)?;
    family.address(reader, word)
}

/// Every way after the first `nexthop`, to the end of the line.
pub(super) fn read(
    reader: &mut Reader<'_>,
    options: &mut Options<'_, '_>,
    family: &mut Claim,
) -> Option<Vec<NextHop>> {
    let mut hops = alloc::vec![NextHop { weight: 1, ..NextHop::default() }];
    while let Some(option) = options.next() {
        if option.text == "nexthop" {
            hops.push(NextHop { weight: 1, ..NextHop::default() });
            continue;
        }
        let hop = hops.last_mut()?;
        read_option(reader, options, option, family, hop)?;
    }
    Some(hops)
}

fn read_option(
    reader: &mut Reader<'_>,
    options: &mut Options<'_, '_>,
    option: &Word<'_>,
    family: &mut Claim,
    hop: &mut NextHop,
) -> Option<()> {
    match option.text.as_ref() {
        "via" => hop.gateway = gateway(reader, options, option, family),
        "dev" => hop.interface = options.interface(reader, option),
        "onlink" => hop.onlink = true,
        "weight" => {
            let weight = options.number(reader, option, 1..=256);
            hop.weight = weight.and_then(|weight| u16::try_from(weight).ok()).unwrap_or(1);
        }
        "realms" => {
            family.claim(reader, Family::Ipv4, option.span);
            let word = options.value(reader, option)?;
            hop.realms = realms(reader, word);
        }
        "encap" | "as" => return super::refuse(reader, option),
        other => {
            let words = ["via", "dev", "weight", "onlink", "realms", "nexthop"];
            let help = suggest::did_you_mean(other, words)
                .unwrap_or_else(|| "write what is for the whole route before nexthop".into());
            let message = format!("unknown option \"{other}\" of a nexthop");
            reader.error(option.span, message, &help);
            return None;
        }
    }
    Some(())
}
