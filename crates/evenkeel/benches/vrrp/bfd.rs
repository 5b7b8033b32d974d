//! How soon an instance that follows a BFD session is faulty after the cable was cut, without the
//! interface noticing: the cut is behind a switch.

use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lab::net::{Namespace, Net};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::director::{Product, Result};
use crate::wire::{Addresses, Capture, Change, Nanos};
use crate::{milliseconds, row};

const PATIENCE: Duration = Duration::from_secs(20);

/// Ended in order when dropped.
struct Director(Child);

impl Drop for Director {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

/// Cuts the cable again and again, and mends it.
pub(crate) fn cut(product: Product, runs: usize) -> Result<Value> {
    let net = Net::new("bfd")?;
    let sides = [net.namespace("a")?, net.namespace("b")?];
    let switch = net.segment("switch", &[(&sides[0], "eth0"), (&sides[1], "eth0")])?;
    let directory = std::env::temp_dir().join(sides[0].name());
    fs::create_dir_all(&directory)?;
    let mut directors = Vec::new();
    for (number, side) in sides.iter().enumerate() {
        side.ip(&format!("addr add 10.9.0.{}/24 dev eth0", number + 1))?;
        let file = directory.join(format!("{number}.conf"));
        fs::write(&file, configuration(number))?;
        let log = fs::File::create(file.with_extension("log"))?;
        let errors = log.try_clone()?;
        let mut command = product.command(side, &file);
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn()?;
        directors.push(Director(child));
    }
    let capture = Capture::start(&sides[1], "eth0", "udp port 3784 and src host 10.9.0.1")?;
    let addresses = Addresses::watch(&sides[1], Change::Removed)?;
    let mut times = Vec::new();
    for _ in 0..runs {
        await_master(&sides[1], product)?;
        capture.take();
        addresses.take();
        // The last packet before the cut is among those that come now.
        thread::sleep(Duration::from_millis(100));
        switch.ip("link set port0 down")?;
        let removed = until_removed(&addresses)?;
        thread::sleep(Duration::from_millis(50));
        let last = capture.take().iter().map(|packet| packet.at).filter(|&at| at < removed).max();
        times.push(milliseconds(last.ok_or("no BFD packet was captured")?, removed));
        switch.ip("link set port0 up")?;
    }
    drop(directors);
    fs::remove_dir_all(&directory)?;
    let figures = row(&format!("{}: address removed", product.name()), &mut times);
    Ok(json!({ "product": product.name(), "event": "bfd", "runs": runs, "fault_ms": figures }))
}

fn configuration(side: usize) -> String {
    let (own, other) = (side + 1, 2 - side);
    format!(
        "bfd_instance other {{\n neighbor_ip 10.9.0.{other}\n source_ip 10.9.0.{own}\n min_rx 10\n \
         min_tx 10\n multiplier 3\n}}\n\
         vrrp_instance VI_{own} {{\n state BACKUP\n interface eth0\n version 3\n \
         virtual_router_id {own}\n priority 150\n advert_int 0.1\n track_bfd {{\n other\n }}\n \
         virtual_ipaddress {{\n 10.9.0.10{own}/32\n }}\n}}\n"
    )
}

fn await_master(side: &Namespace, product: Product) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !side.ip("-o addr show dev eth0")?.contains("10.9.0.102/32") {
        if Instant::now() > end {
            return Err(format!("{}: the BFD session does not come up", product.name()).into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_millis(500));
    Ok(())
}

fn until_removed(addresses: &Addresses) -> Result<Nanos> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(&at) = addresses.take().first() {
            return Ok(at);
        }
        if Instant::now() > end {
            return Err("the address stays although the cable is cut".into());
        }
        thread::sleep(Duration::from_millis(2));
    }
}
