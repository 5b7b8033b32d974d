//! The vrrp role with real adverts: alone, and against Debian's keepalived on the other side of
//! a cable.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use edge::gate::Gate;
use lab::net::{Namespace, Net};
use model::control::{Event, RolePlan, RoleReport};
use model::status::{InstanceStatus, VrrpState};
use model::units::{Centiseconds, Priority, VirtualRouterId};
use model::vrrp::{Authentication, Garp, InitialState, VirtualAddress, VrrpInstance, VrrpPlan};

use crate::role::RoleProcess;

const KEEPALIVED: &str = "/usr/sbin/keepalived";
const VIRTUAL: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);

/// Two directors and the cable between them.
pub(crate) struct Pair {
    pub(crate) ours: Namespace,
    pub(crate) theirs: Namespace,
    directory: PathBuf,
    pins: String,
    _net: Net,
}

impl Pair {
    pub(crate) fn new(tag: &str) -> io::Result<Pair> {
        let net = Net::new(tag)?;
        let (ours, theirs) = (net.namespace("a")?, net.namespace("b")?);
        net.veth((&ours, "eth0"), (&theirs, "eth0"))?;
        ours.ip("addr add 10.9.0.1/24 dev eth0")?;
        theirs.ip("addr add 10.9.0.2/24 dev eth0")?;
        let name = format!("ek-{tag}-{}", std::process::id());
        let directory = std::env::temp_dir().join(&name);
        fs::create_dir_all(&directory)?;
        Ok(Pair { ours, theirs, directory, pins: format!("/sys/fs/bpf/{name}"), _net: net })
    }

    /// Our role on this side, as the supervisor starts it.
    pub(crate) fn role(&self, memory: Option<OwnedFd>, plan: VrrpPlan) -> RoleProcess {
        let mut role = RoleProcess::start(&self.ours, "vrrp").unwrap();
        role.hello(&self.pins, memory.into_iter().collect());
        role.configure(RolePlan::Vrrp(Box::new(plan)));
        role
    }

    /// Keepalived on the other side.
    fn keepalived(&self, priority: u8) -> Keepalived {
        let configuration = format!(
            "vrrp_instance VI_1 {{\n state BACKUP\n interface eth0\n virtual_router_id 51\n \
             priority {priority}\n advert_int 1\n authentication {{\n auth_type PASS\n \
             auth_pass secret\n }}\n virtual_ipaddress {{\n {VIRTUAL}\n }}\n}}\n"
        );
        self.keepalived_of(&configuration)
    }

    /// Keepalived on the other side, with this configuration.
    pub(crate) fn keepalived_of(&self, configuration: &str) -> Keepalived {
        self.keepalived_with(&["-P"], configuration)
    }

    /// The same with options.
    pub(crate) fn keepalived_with(&self, options: &[&str], configuration: &str) -> Keepalived {
        let file = self.directory.join("keepalived.conf");
        fs::write(&file, configuration).unwrap();
        let child = self
            .theirs
            .command(KEEPALIVED)
            .arg("-n")
            .args(options)
            .arg("-f")
            .arg(&file)
            .arg("-p")
            .arg(self.directory.join("keepalived.pid"))
            .arg("-r")
            .arg(self.directory.join("vrrp.pid"))
            .arg("-c")
            .arg(self.directory.join("checkers.pid"))
            .arg("-b")
            .arg(self.directory.join("bfd.pid"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Keepalived { child, namespace: self.theirs.clone() }
    }

    fn we_hold(&self) -> bool {
        holds(&self.ours)
    }

    fn they_hold(&self) -> bool {
        holds(&self.theirs)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
        let _ = fs::remove_file(format!("{}/gate", self.pins));
        let _ = fs::remove_dir(&self.pins);
    }
}

pub(crate) struct Keepalived {
    child: Child,
    namespace: Namespace,
}

impl Keepalived {
    /// SIGTERM: says goodbye.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        self.child.wait().unwrap();
    }

    /// SIGKILL, its vrrp process too: silence.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        // The vrrp process first: it says goodbye when its parent dies.
        let pids = Command::new("ip").args(["netns", "pids", self.namespace.name()]).output();
        let pids = String::from_utf8_lossy(&pids.unwrap().stdout).into_owned();
        if !pids.trim().is_empty() {
            let _ = Command::new("kill").arg("-9").args(pids.split_whitespace().rev()).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn holds(namespace: &Namespace) -> bool {
    let listed = namespace.ip("-4 -o addr show dev eth0").unwrap_or_default();
    listed.contains(&format!(" {VIRTUAL}/"))
}

/// Waits until `what` holds, and returns how long that took.
pub(crate) fn within(limit: Duration, claim: &str, mut what: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {claim}");
        std::thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Less than the master-down interval: only a goodbye explains it.
pub(crate) const BY_GOODBYE: Duration = Duration::from_millis(2_500);

fn instance(priority: u8, interval: u32) -> VrrpInstance {
    VrrpInstance {
        name: "VI_1".into(),
        interface: "eth0".into(),
        virtual_router_id: VirtualRouterId::try_from(51).unwrap(),
        priority: Priority::try_from(priority).unwrap(),
        advert_interval: Centiseconds(interval),
        initial_state: InitialState::Backup,
        authentication: Authentication::Pass(*b"secret\0\0"),
        preempt: true,
        preempt_delay: Duration::ZERO,
        addresses: vec![address(100)],
        excluded_addresses: Vec::new(),
        garp: Garp::default(),
        ..VrrpInstance::new("VI_1", "eth0", VirtualRouterId::try_from(51).unwrap())
    }
}

fn address(last: u8) -> VirtualAddress {
    VirtualAddress::new(IpAddr::V4(Ipv4Addr::new(10, 9, 0, last)), 32)
}

pub(crate) fn plan(instance: VrrpInstance) -> VrrpPlan {
    VrrpPlan { instances: vec![instance], ..VrrpPlan::default() }
}

pub(crate) fn status(role: &mut RoleProcess) -> InstanceStatus {
    match role.report() {
        RoleReport::Vrrp(report) => report.instances.into_iter().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn memory() -> (OwnedFd, OwnedFd) {
    let ours = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    (ours.try_clone().unwrap(), ours)
}

pub(crate) fn skipped() -> bool {
    let tool =
        || (!PathBuf::from(KEEPALIVED).exists()).then(|| "keepalived is not installed".into());
    match lab::net::missing().or_else(tool) {
        Some(reason) => println!("skipped: {reason}"),
        None => return false,
    }
    true
}

#[test]
fn keepalived_takes_over_at_once_when_our_master_stops_and_yields_when_it_is_back() {
    if skipped() {
        return;
    }
    let pair = Pair::new("vrrpm").unwrap();
    let mut role = pair.role(None, plan(instance(150, 100)));
    let keepalived = pair.keepalived(100);
    within(SOON, "we become master", || pair.we_hold());
    assert!(!pair.they_hold(), "keepalived discards our adverts");
    let status = status(&mut role);
    assert_eq!((status.state, status.became_master), (VrrpState::Master, 1));

    assert!(role.stop().success());
    assert!(!pair.we_hold());
    let took = within(BY_GOODBYE, "keepalived takes over", || pair.they_hold());
    println!("keepalived took over after our goodbye in {took:?}");

    let role = pair.role(None, plan(instance(150, 100)));
    within(SOON, "we preempt", || pair.we_hold());
    within(SOON, "keepalived yields", || !pair.they_hold());
    // The supervisor's death is a stop too.
    assert!(role.abandon().success());
    assert!(!pair.we_hold());
    within(BY_GOODBYE, "keepalived takes over again", || pair.they_hold());
    keepalived.stop();
}

#[test]
fn we_take_over_when_keepalived_stops_or_falls_silent_and_yield_when_it_is_back() {
    if skipped() {
        return;
    }
    let pair = Pair::new("vrrpb").unwrap();
    let keepalived = pair.keepalived(150);
    within(SOON, "keepalived becomes master", || pair.they_hold());
    let mut role = pair.role(None, plan(instance(100, 100)));
    let heard = |role: &mut RoleProcess| status(role).master == Some(([10, 9, 0, 2].into(), 150));
    within(SOON, "its adverts are accepted", || heard(&mut role));

    keepalived.stop();
    let took = within(BY_GOODBYE, "we take over by its goodbye", || pair.we_hold());
    println!("we took over after its goodbye in {took:?}");
    assert!(!pair.they_hold());

    let keepalived = pair.keepalived(150);
    within(SOON, "we yield", || pair.they_hold() && !pair.we_hold());
    keepalived.kill();
    let took = within(SOON, "we take over from the silent one", || pair.we_hold());
    println!("we took over after its silence in {took:?}");
    assert!(took > Duration::from_secs(2), "its adverts still counted when it fell silent");
    let status = status(&mut role);
    assert_eq!((status.became_master, status.released_master), (2, 1));
    assert_eq!(status.adverts_discarded, 0);
}

#[test]
fn a_killed_role_resumes_as_master_without_an_address_event() {
    if skipped() {
        return;
    }
    let pair = Pair::new("vrrpk").unwrap();
    let _keepalived = pair.keepalived(100);
    let (kept, given) = memory();
    let role = pair.role(Some(given), plan(instance(150, 100)));
    within(SOON, "we become master", || pair.we_hold());
    within(SOON, "keepalived knows", || !pair.they_hold());
    let log = pair.directory.join("monitor");
    let mut monitor = Command::new("ip")
        .args(["-n", pair.ours.name(), "monitor", "address"])
        .stdout(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(100));

    role.kill();
    let mut role = pair.role(Some(kept), plan(instance(150, 100)));
    assert_eq!(status(&mut role).state, VrrpState::Master);
    let resumed = role.events.iter().any(|event| {
        matches!(event, Event::VrrpState { from: VrrpState::Init, to: VrrpState::Master, .. })
    });
    assert!(resumed, "{:?}", role.events);
    // Longer than keepalived's master-down interval.
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        assert!(pair.we_hold() && !pair.they_hold());
        std::thread::sleep(Duration::from_millis(50));
    }
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    assert_eq!(fs::read_to_string(&log).unwrap(), "");
}

#[test]
fn a_killed_role_without_memory_begins_as_backup_and_removes_what_was_left() {
    if skipped() {
        return;
    }
    let pair = Pair::new("vrrpl").unwrap();
    pair.ours.ip(&format!("addr add {VIRTUAL}/32 dev eth0")).unwrap();
    let mut role = pair.role(None, plan(instance(100, 100)));
    assert_eq!(status(&mut role).state, VrrpState::Backup);
    assert!(!pair.we_hold());
}

#[test]
fn gates_follow_the_state_and_a_reload_moves_only_what_differs() {
    if skipped() {
        return;
    }
    let pair = Pair::new("vrrpg").unwrap();
    edge::gate::ensure_gate(pair.pins.as_ref()).unwrap();
    let gate = Gate::open(pair.pins.as_ref()).unwrap();
    let open = |last: u8| gate.state(Ipv4Addr::new(10, 9, 0, last).into()).unwrap();

    let mut first = instance(100, 30);
    let mut role = pair.role(None, plan(first.clone()));
    assert_eq!(open(100), Some(false));
    within(SOON, "we become master", || pair.we_hold());
    within(SOON, "its gate is open", || open(100) == Some(true));

    first.addresses = vec![address(100), address(101)];
    role.configure(RolePlan::Vrrp(Box::new(plan(first.clone()))));
    let listed = pair.ours.ip("-4 -o addr show dev eth0").unwrap();
    assert!(listed.contains("10.9.0.100/32") && listed.contains("10.9.0.101/32"), "{listed}");
    assert_eq!((open(100), open(101)), (Some(true), Some(true)));
    first.addresses = vec![address(101)];
    role.configure(RolePlan::Vrrp(Box::new(plan(first))));
    assert!(!pair.we_hold());
    assert_eq!((open(100), open(101)), (None, Some(true)));
    assert_eq!(status(&mut role).became_master, 1);

    pair.ours.ip("addr del 10.9.0.101/32 dev eth0").unwrap();
    within(SOON, "a stolen address is put back", || {
        pair.ours.ip("-4 -o addr show dev eth0").unwrap().contains("10.9.0.101/32")
    });
    assert!(role.stop().success());
    assert_eq!(open(101), Some(false));
}

#[test]
fn a_master_stays_when_its_interface_leaves_a_bridge_and_tells_of_another_mac_address() {
    if skipped() {
        return;
    }
    let pair = Pair::new("vrrpx").unwrap();
    let mut role = pair.role(None, plan(instance(100, 30)));
    within(SOON, "we become master", || pair.we_hold());
    pair.ours.ip("link add br0 type bridge").unwrap();
    pair.ours.ip("link set eth0 master br0").unwrap();
    pair.ours.ip("link set eth0 nomaster").unwrap();
    // It comes back only when all that happened before has been seen.
    pair.ours.ip(&format!("addr del {VIRTUAL}/32 dev eth0")).unwrap();
    within(SOON, "a stolen address is put back", || pair.we_hold());
    assert_eq!(status(&mut role).released_master, 0);

    let neighbour = format!("neigh replace {VIRTUAL} lladdr 02:00:00:00:00:01 dev eth0 nud stale");
    pair.theirs.ip(&neighbour).unwrap();
    pair.ours.ip("link set eth0 address 02:00:00:00:00:77").unwrap();
    within(SOON, "the others know the new address", || {
        pair.theirs.ip(&format!("neigh show {VIRTUAL}")).unwrap().contains("02:00:00:00:00:77")
    });
    assert_eq!(status(&mut role).released_master, 0);
}

#[test]
fn an_interface_that_goes_and_comes_back_is_a_fault_and_a_recovery() {
    if skipped() {
        return;
    }
    let pair = Pair::new("vrrpf").unwrap();
    let mut absent = instance(100, 30);
    absent.interface = "eth1".into();
    let mut role = pair.role(None, plan(absent));
    assert_eq!(status(&mut role).state, VrrpState::Fault);
    // An interface of the name appears, gets an address and a carrier: the instance takes part.
    pair.ours.ip("link add eth1 type veth peer name peer1").unwrap();
    pair.ours.ip("addr add 10.8.0.1/24 dev eth1").unwrap();
    pair.ours.ip("link set peer1 up").unwrap();
    pair.ours.ip("link set eth1 up").unwrap();
    within(SOON, "it becomes master", || status(&mut role).state == VrrpState::Master);
    pair.ours.ip("link set peer1 down").unwrap();
    within(SOON, "no carrier is a fault", || status(&mut role).state == VrrpState::Fault);
    pair.ours.ip("link set peer1 up").unwrap();
    within(SOON, "it recovers", || status(&mut role).state == VrrpState::Master);
    pair.ours.ip("link del eth1").unwrap();
    within(SOON, "a vanished one is a fault", || status(&mut role).state == VrrpState::Fault);
    pair.ours.ip("link add eth1 type veth peer name peer1").unwrap();
    pair.ours.ip("addr add 10.8.0.1/24 dev eth1").unwrap();
    pair.ours.ip("link set peer1 up").unwrap();
    pair.ours.ip("link set eth1 up").unwrap();
    within(SOON, "a new one of the name will do", || status(&mut role).state == VrrpState::Master);
    let listed = pair.ours.ip("-4 -o addr show dev eth1").unwrap();
    assert!(listed.contains(&format!("{VIRTUAL}/32")), "{listed}");
}
