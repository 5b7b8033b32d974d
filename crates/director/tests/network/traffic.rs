//! Traffic through both ways of forwarding, and over the engine's death.

use director::Engine;
use model::layer4::Forwarding;

use crate::world::{DOWNLOAD, World, counter, download, start, upload};

fn traffic_goes_through(world: Option<World>, forwarding: Forwarding) {
    let Some(world) = world else { return };
    world.serve(forwarding);
    let mut running = start(&world, forwarding);
    let cables = if forwarding == Forwarding::Nat { 2 } else { 1 };
    assert_eq!(running.attached, ["eth0 (native)", "eth1 (native)"][..cables]);
    assert!(!running.adopted);
    let mut turns = [0; 2];
    for _ in 0..20 {
        turns[usize::from(world.ask().unwrap()) - 1] += 1;
    }
    assert_eq!(turns, [10, 10]);
    assert_eq!(download(&world).join().unwrap(), DOWNLOAD + 1);
    assert_eq!(upload(&world).join().unwrap(), DOWNLOAD);
    assert_eq!(world.checksum_errors(), 0);
    let mut engine = running.end();
    let by_kernel = counter(&engine, "forwarded_by_kernel") + counter(&engine, "passed_to_resolve");
    assert!(counter(&engine, "forwarded_to_server") > 22 * 3, "{:?}", engine.data_plane());
    assert!(by_kernel < 20, "only first packets go by the kernel: {:?}", engine.data_plane());
    engine.stop().unwrap();
    assert!(world.ask().is_err(), "nothing forwards any more");
}

#[test]
fn nat_carries_downloads_and_spreads_connections() {
    let forwarding = Forwarding::Nat;
    traffic_goes_through(World::new("l4nat", forwarding), forwarding);
}

#[test]
fn nat_carries_downloads_and_spreads_connections_over_ipv6() {
    let forwarding = Forwarding::Nat;
    traffic_goes_through(World::new6("l4nat6", forwarding), forwarding);
}

#[test]
fn direct_routing_carries_downloads_and_spreads_connections_over_ipv6() {
    let forwarding = Forwarding::DirectRouting;
    traffic_goes_through(World::new6("l4dr6", forwarding), forwarding);
}

#[test]
fn an_answer_to_a_client_the_director_has_never_met_is_not_lost() {
    let forwarding = Forwarding::Nat;
    unmet(World::new("l4unmet", forwarding));
}

#[test]
fn an_answer_to_a_client_of_ipv6_the_director_has_never_met_is_not_lost() {
    let forwarding = Forwarding::Nat;
    unmet(World::new6("l4unmet6", forwarding));
}

fn unmet(world: Option<World>) {
    let forwarding = Forwarding::Nat;
    let Some(world) = world else { return };
    world.serve(forwarding);
    let mut running = start(&world, forwarding);
    world.ask().unwrap();
    // As after a failover: the client has the virtual address's MAC, the director not the client's.
    world.director.ip("neigh flush dev eth0").unwrap();
    world.ask().unwrap();
    assert_eq!(download(&world).join().unwrap(), DOWNLOAD + 1);
    let mut engine = running.end();
    assert!(counter(&engine, "forwarded_by_kernel") > 0, "{:?}", engine.data_plane());
    let dropped = engine.data_plane().into_iter().filter(|(name, _)| name.starts_with("dropped"));
    assert_eq!(dropped.map(|(_, count)| count).sum::<u64>(), 0, "{:?}", engine.data_plane());
    assert_eq!(world.checksum_errors(), 0);
    engine.stop().unwrap();
}

#[test]
fn direct_routing_carries_downloads_and_spreads_connections() {
    let forwarding = Forwarding::DirectRouting;
    traffic_goes_through(World::new("l4dr", forwarding), forwarding);
}

#[test]
fn forwarding_outlives_the_engine_and_the_next_one_takes_it_over() {
    for world in [World::new("l4adopt", Forwarding::Nat), World::new6("l4adopt6", Forwarding::Nat)]
    {
        outlives(world);
    }
}

fn outlives(world: Option<World>) {
    let forwarding = Forwarding::Nat;
    let Some(world) = world else { return };
    world.serve(forwarding);
    let mut first = start(&world, forwarding);
    let long = download(&world);
    // As SIGKILL does: nothing is undone.
    drop(first.end());
    let mut turns = [0; 2];
    for _ in 0..20 {
        turns[usize::from(world.ask().unwrap()) - 1] += 1;
    }
    assert_eq!(turns, [10, 10], "without any director");
    let mut second = start(&world, forwarding);
    assert!(second.adopted);
    assert_eq!(second.attached, ["eth0 (native)", "eth1 (native)"]);
    world.ask().unwrap();
    assert_eq!(long.join().unwrap(), DOWNLOAD + 1);
    assert_eq!(world.checksum_errors(), 0);
    second.end().stop().unwrap();
}
