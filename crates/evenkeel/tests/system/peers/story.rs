//! What happens around a pair, and what comes of it: the same notices in the same order, and the
//! same priorities on the wire, whichever product stands on a side.

use std::thread;
use std::time::Duration;

use super::scenario::{Product, Side};
use super::wire::{self, Lan, Tap, within};

/// How long a pair has to settle after each deed: with adverts every 0.2 s more than three times
/// the master-down interval, and time for trackers that look once a second.
const SETTLE: Duration = Duration::from_millis(2_500);
const PATIENCE: Duration = Duration::from_secs(20);

/// Something done to the first director.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// The tracked file `value` says this from now on.
    Value(&'static str),
    /// `ip` with these words.
    Ip(&'static str),
    /// A reload of this configuration.
    Reload(&'static str),
}

#[derive(Clone, Copy)]
struct Story {
    name: &'static str,
    configuration: &'static str,
    deeds: &'static [Deed],
}

/// What is seen of a side.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    notices: Vec<String>,
    priorities: Vec<u8>,
}

/// Both mixed pairs against a pair of Keepaliveds.
fn compare(story: Story) {
    if let Some(reason) = super::missing().or_else(wire::missing) {
        println!("skipped: {reason}");
        return;
    }
    use Product::{Evenkeel, Keepalived};
    let pairs = [[Keepalived, Keepalived], [Evenkeel, Keepalived], [Keepalived, Evenkeel]];
    let threads = pairs.map(|products| thread::spawn(move || play(&story, products)));
    let [reference, first, second] = threads.map(|thread| match thread.join() {
        Ok(seen) => seen,
        Err(panic) => std::panic::resume_unwind(panic),
    });
    let name = story.name;
    assert!(reference[0].notices.len() > story.deeds.len(), "{name}: {:?}", reference[0]);
    for (number, (seen, reference)) in
        [&first[0], &second[1]].into_iter().zip(&reference).enumerate()
    {
        let (seen, reference) = (seen.in_order(), reference.in_order());
        assert_eq!(seen, reference, "{name}: side {number}");
    }
}

impl Seen {
    /// A reload that renames an instance starts the scripts of the old one's end and of the new
    /// one's beginning at the same moment: which writes first is chance.
    fn in_order(&self) -> Seen {
        let mut notices = self.notices.clone();
        for at in 1..notices.len() {
            if notices[at - 1].ends_with(" FAULT") && notices[at].contains(" BACKUP ") {
                notices.swap(at - 1, at);
            }
        }
        Seen { notices, priorities: self.priorities.clone() }
    }
}

fn play(story: &Story, products: [Product; 2]) -> [Seen; 2] {
    let lan = Lan::new(story.name);
    let taps = [0, 1].map(|side| Tap::of(&lan, side, "proto 112"));
    let mut sides = [0, 1].map(|number| {
        let directors = &lan.directors;
        Side::of(story.configuration, number, &directors[number], products[number])
    });
    sides.iter().for_each(|side| side.write("value", "0\n"));
    for side in &mut sides {
        side.start();
        within(PATIENCE, "the first notices", || !side.notices().is_empty());
        if side.notices().len() < 2 {
            thread::sleep(SETTLE);
        }
    }
    for deed in story.deeds {
        match deed {
            Deed::Value(text) => sides[0].write("value", text),
            Deed::Ip(words) => drop(sides[0].namespace.ip(words).unwrap()),
            Deed::Reload(configuration) => sides[0].reload(configuration),
        }
        thread::sleep(SETTLE);
    }
    [0, 1].map(|side| Seen {
        notices: sides[side].notices().iter().map(|line| without_fault_priority(line)).collect(),
        priorities: taps[side].priorities(),
    })
}

/// A faulty instance has no priority that matters.
fn without_fault_priority(line: &str) -> String {
    match line.rsplit_once(' ') {
        Some((front, _)) if front.ends_with("FAULT") => front.to_owned(),
        Some(_) | None => line.to_owned(),
    }
}

#[test]
fn a_tracked_file_moves_the_priority_on_the_wire_the_master_and_makes_a_fault() {
    compare(Story {
        name: "sfile",
        configuration: "
global_defs {
    script_user root
}
vrrp_track_file value {
    file FILES/value
}
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    version 3
    virtual_router_id 51
    priority PRIORITY
    advert_int 0.2
    notify FILES/notify
    track_file {
        value weight 1
    }
    virtual_ipaddress {
        10.9.0.100/24
    }
}
",
        deeds: &[
            Deed::Value("-20\n"),
            Deed::Value("-60\n"),
            Deed::Value("0\n"),
            Deed::Value("-254\n"),
            Deed::Value("300\n"),
        ],
    });
}

#[test]
fn an_interface_that_is_tracked_with_a_weight_and_one_without() {
    compare(Story {
        name: "slink",
        configuration: "
global_defs {
    script_user root
}
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    version 3
    virtual_router_id 51
    priority PRIORITY
    advert_int 0.2
    notify FILES/notify
    track_interface {
        spare0 weight -60
    }
    virtual_ipaddress {
        10.9.0.100/24
    }
}
",
        deeds: &[
            Deed::Ip("link set spare0 down"),
            Deed::Ip("link set eth0 down"),
            Deed::Ip("link set spare0 up"),
            Deed::Ip("link set eth0 up"),
        ],
    });
}

const REMOVED: &str = "
global_defs {
    script_user root
}
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    version 3
    virtual_router_id 51
    priority PRIORITY
    advert_int 0.2
    notify FILES/notify
    virtual_ipaddress {
        10.9.0.100/24
    }
}
";

#[test]
fn reloads_of_a_master_change_its_priority_and_its_name_and_say_goodbye_for_what_they_remove() {
    compare(Story {
        name: "sreload",
        configuration: "
global_defs {
    script_user root
}
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    version 3
    virtual_router_id 51
    priority PRIORITY
    advert_int 0.2
    notify FILES/notify
    virtual_ipaddress {
        10.9.0.100/24
    }
}
vrrp_instance VI_2 {
    state BACKUP
    interface eth1
    version 3
    virtual_router_id 52
    priority PRIORITY
    advert_int 0.2
    virtual_ipaddress {
        10.10.0.100/24
    }
}
",
        deeds: &[
            Deed::Reload(REMOVED),
            Deed::Reload(
                "
global_defs {
    script_user root
}
vrrp_instance RENAMED {
    state BACKUP
    interface eth0
    version 3
    virtual_router_id 51
    priority 90
    advert_int 0.2
    notify FILES/notify
    virtual_ipaddress {
        10.9.0.100/24
    }
}
",
            ),
            Deed::Reload(REMOVED),
            Deed::Reload(
                "
global_defs {
    script_user root
}
vrrp_instance VI_1 {
    state BACKUP
    interface eth1
    version 3
    virtual_router_id 51
    priority PRIORITY
    advert_int 0.2
    notify FILES/notify
    virtual_ipaddress {
        10.9.0.100/24
    }
}
",
            ),
        ],
    });
}
