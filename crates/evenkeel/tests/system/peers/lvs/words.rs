//! What lives are written with.

use super::Deed::Up;
use super::{Life, Told};

/// A virtual server with these settings and real servers.
macro_rules! service {
    ($more:literal, $($server:expr),+) => {
        service!(at "192.0.2.1 80", $more, $($server),+)
    };
    (at $address:literal, $more:literal, $($server:expr),+) => {
        concat!(
            "virtual_server ", $address, " {\n delay_loop 0.5\n warmup 0\n retry 1\n \
             delay_before_retry 0.2\n lb_algo rr\n lb_kind NAT\n protocol TCP\n \
             quorum_up \"DIR/script qup '192.0.2.1 80'\"\n quorum_down \"DIR/script qdown\"\n",
            $more, "\n", $($server,)+ "}\n"
        )
    };
}

/// A real server: its number, its weight, settings and checkers.
macro_rules! server {
    ($number:literal, $weight:literal, $more:literal) => {
        server!($number, $weight, $more, "TCP_CHECK {\n connect_timeout 1\n }\n")
    };
    ($number:literal, $weight:literal, $more:literal, $checkers:expr) => {
        concat!(
            "real_server 10.0.0.",
            $number,
            " 80 {\n weight ",
            $weight,
            "\n ",
            $more,
            "\n \
             notify_up \"DIR/script rsup ",
            $number,
            " two words\"\n \
             notify_down \"DIR/script rsdown ",
            $number,
            "\"\n ",
            $checkers,
            "}\n"
        )
    };
}

/// Skips where the peer is not installed.
macro_rules! needs_peer {
    () => {
        if let Some(reason) = super::missing() {
            return println!("skipped: {reason}");
        }
    };
}

pub(super) use {needs_peer, server, service};

pub(super) fn life(name: &'static str, up: &[u8], services: &'static str) -> Life {
    let before = up.iter().map(|&number| Up(number)).collect();
    Life { name, before, global: "", services, deeds: Vec::new() }
}

pub(super) fn servers(told: &Told) -> Vec<&str> {
    told.tables
        .iter()
        .filter_map(|line| line.split_once(" -> "))
        .map(|(_, server)| server)
        .collect()
}
