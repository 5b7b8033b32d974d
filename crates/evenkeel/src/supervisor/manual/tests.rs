use model::layer4::{Forwarding, Protocol, VirtualServerId};
use model::vrrp::Family;

use super::*;

fn key(last: u8) -> ServiceKey {
    let address = [192, 0, 2, last].into();
    ServiceKey::Address { address, port: 80, protocol: Protocol::Tcp }
}

fn endpoint(last: u8) -> Endpoint {
    Endpoint { address: [10, 0, 0, last].into(), port: 80 }
}

/// 192.0.2.1 with two real servers of weight 3, and a group of 192.0.2.7 and 8.
fn file() -> Layer4Plan {
    let server = |last| RealServer {
        weight: 3,
        notify_up: None,
        smtp_alert: false,
        ..RealServer::new(endpoint(last))
    };
    let real_servers = vec![server(1), server(2)].into();
    let one = VirtualServer { real_servers, ..VirtualServer::new(key(1)) };
    let group = VirtualServer {
        id: VirtualServerId::Group { name: "web".into(), protocol: Protocol::Tcp },
        services: vec![key(7), key(8)],
        ..VirtualServer::new(key(7))
    };
    Layer4Plan { virtual_servers: vec![one, group], ..Layer4Plan::default() }
}

fn settings(scheduler: &str) -> ServiceSettings {
    ServiceSettings {
        scheduler: scheduler.into(),
        flags: Vec::new(),
        persistence: None,
        mask: None,
        one_packet: false,
        engine: None,
    }
}

fn server(last: u8, weight: u32) -> Server {
    Server {
        address: endpoint(last).address,
        port: 80,
        forwarding: Forwarding::Nat,
        weight,
        upper_threshold: 0,
        lower_threshold: 0,
    }
}

fn delete(last: u8) -> Order {
    Order::DeleteServer(key(1), endpoint(last).address, 80)
}

fn give(manual: &mut Manual, file: &Layer4Plan, order: Order) -> Outcome {
    manual.apply(Time::ZERO, &Index::new(file), &order)
}

/// Endings of the servers' addresses with their weights, of a service that is there.
fn shown(manual: &Manual, file: &Layer4Plan, of: ServiceKey) -> Option<Vec<(u8, u32)>> {
    let plan = manual.over(file);
    let found = plan.virtual_servers.iter().find(|one| one.services.contains(&of))?;
    let last = |server: &RealServer| match server.endpoint.address {
        std::net::IpAddr::V4(address) => address.octets()[3],
        std::net::IpAddr::V6(_) => 0,
    };
    Some(found.real_servers.iter().map(|one| (last(one), one.weight)).collect())
}

#[test]
fn a_service_added_by_hand_is_a_virtual_server_until_it_is_deleted() {
    let (mut manual, file) = (Manual::default(), file());
    assert_eq!(give(&mut manual, &file, Order::AddService(key(2), settings("wrr"))), Ok(None));
    assert_eq!(
        give(&mut manual, &file, Order::AddService(key(2), settings("wrr"))),
        Err(SERVICE_EXISTS.into())
    );
    assert_eq!(give(&mut manual, &file, Order::AddServer(key(2), server(5, 7))), Ok(None));
    assert_eq!(
        give(&mut manual, &file, Order::AddServer(key(2), server(5, 7))),
        Err(SERVER_EXISTS.into())
    );
    assert_eq!(give(&mut manual, &file, Order::EditServer(key(2), server(5, 0))), Ok(None));
    assert_eq!(shown(&manual, &file, key(2)), Some(vec![(5, 0)]));
    assert_eq!(give(&mut manual, &file, Order::EditService(key(2), settings("rr"))), Ok(None));
    assert_eq!(manual.over(&file).virtual_servers[2].scheduler, Scheduler::RoundRobin);
    assert_eq!(give(&mut manual, &file, Order::DeleteService(key(2))), Ok(None));
    assert!(manual.is_empty() && manual.over(&file) == file);
    assert_eq!(give(&mut manual, &file, Order::DeleteService(key(2))), Err(NO_SERVICE.into()));
}

#[test]
fn a_configured_server_keeps_what_only_the_file_says_of_it() {
    let mut file = file();
    let mut servers = file.virtual_servers[0].real_servers.to_vec();
    servers[0].inhibit_on_failure = true;
    file.virtual_servers[0].real_servers = servers.into();
    let mut manual = Manual::default();
    assert_eq!(give(&mut manual, &file, Order::EditServer(key(1), server(1, 9))), Ok(None));
    let plan = manual.over(&file);
    let changed = &plan.virtual_servers[0].real_servers[0];
    assert_eq!((changed.weight, changed.inhibit_on_failure, changed.smtp_alert), (9, true, false));
    // As the file has it again: nothing is changed any more.
    assert_eq!(give(&mut manual, &file, Order::EditServer(key(1), server(1, 3))), Ok(None));
    assert!(manual.is_empty());
}

#[test]
fn deleted_servers_and_services_of_a_file_are_gone_until_they_are_added_or_reset() {
    let (mut manual, file) = (Manual::default(), file());
    assert_eq!(give(&mut manual, &file, delete(1)), Ok(None));
    assert_eq!(give(&mut manual, &file, delete(1)), Err(NO_SERVER.into()));
    assert_eq!(shown(&manual, &file, key(1)), Some(vec![(2, 3)]));
    assert_eq!(give(&mut manual, &file, Order::AddServer(key(1), server(1, 4))), Ok(None));
    assert_eq!(shown(&manual, &file, key(1)), Some(vec![(1, 4), (2, 3)]));
    assert_eq!(give(&mut manual, &file, Order::DeleteService(key(1))), Ok(None));
    assert_eq!(shown(&manual, &file, key(1)), None);
    assert_eq!(
        give(&mut manual, &file, Order::AddServer(key(1), server(1, 4))),
        Err(NOT_DEFINED.into())
    );
    // Added again it is empty, as with ipvsadm.
    assert_eq!(give(&mut manual, &file, Order::AddService(key(1), settings("rr"))), Ok(None));
    assert_eq!(shown(&manual, &file, key(1)), Some(vec![]));
    assert_eq!(give(&mut manual, &file, Order::AddServer(key(1), server(2, 3))), Ok(None));
    assert_eq!(shown(&manual, &file, key(1)), Some(vec![(2, 3)]));
    assert!(manual.reset(Some(key(1)), None) && manual.over(&file) == file);
    assert!(!manual.reset(None, None));
}

#[test]
fn clearing_takes_away_what_was_added_and_puts_nothing_into_service() {
    let (mut manual, file) = (Manual::default(), file());
    for order in [
        Order::AddService(key(2), settings("rr")),
        Order::AddServer(key(1), server(9, 1)),
        delete(1),
        Order::EditServer(key(1), server(2, 8)),
    ] {
        assert_eq!(give(&mut manual, &file, order), Ok(None));
    }
    let said = give(&mut manual, &file, Order::Clear).unwrap().unwrap();
    assert!(said.starts_with("3 virtual servers are configured in a file"), "{said}");
    assert_eq!(shown(&manual, &file, key(1)), Some(vec![(2, 8)]));
    assert_eq!(shown(&manual, &file, key(2)), None);
    assert_eq!(give(&mut Manual::default(), &Layer4Plan::default(), Order::Clear), Ok(None));
}

#[test]
fn a_reload_gives_a_service_to_the_file_that_has_it_and_forgets_what_none_has() {
    let (mut manual, file) = (Manual::default(), file());
    for order in [Order::AddService(key(2), settings("rr")), delete(1)] {
        assert_eq!(give(&mut manual, &file, order), Ok(None));
    }
    let mut next = file.clone();
    next.virtual_servers.push(VirtualServer::new(key(2)));
    let mut after = manual.clone();
    assert_eq!(after.follow(&next).len(), 1);
    assert_eq!(shown(&after, &next, key(1)), Some(vec![(2, 3)]));
    let mut after = manual.clone();
    assert_eq!(after.follow(&Layer4Plan::default()).len(), 1);
    assert_eq!(shown(&after, &Layer4Plan::default(), key(2)), Some(vec![]));
    assert_eq!(manual.follow(&file), Vec::<String>::new());
}

#[test]
fn what_no_file_may_say_is_refused_with_the_reason() {
    let (mut manual, file) = (Manual::default(), file());
    let mut refused = |order| give(&mut manual, &file, order).unwrap_err();
    assert_eq!(
        refused(Order::AddService(key(2), settings("nosuch"))),
        "Scheduler or persistence engine not found"
    );
    let heavy = refused(Order::AddServer(key(1), server(5, 70_000)));
    assert!(heavy.contains("65535"), "{heavy}");
    let bounds = Server { upper_threshold: 1, lower_threshold: 2, ..server(5, 1) };
    assert_eq!(refused(Order::AddServer(key(1), bounds)), OUT_OF_RANGE);
    let many = Server { address: [224, 0, 0, 1].into(), ..server(5, 1) };
    assert_eq!(refused(Order::AddServer(key(1), many)), NOT_UNICAST);
    let shared = refused(Order::AddServer(key(7), server(5, 1)));
    assert!(shared.contains("belongs to TCP group web"), "{shared}");
    let mark = ServiceKey::Mark { mark: 7, family: Family::Ipv4 };
    assert_eq!(refused(Order::DeleteService(mark)), NO_SERVICE);
}

#[test]
fn time_outs_of_zero_stay_as_they_are() {
    let (mut manual, mut file) = (Manual::default(), file());
    file.timeouts.udp = Seconds(77);
    let order = Order::Timeouts { tcp: 60, tcp_fin: 0, udp: 0 };
    assert_eq!(give(&mut manual, &file, order), Ok(None));
    let now = manual.over(&file).timeouts;
    assert_eq!([now.tcp, now.tcp_fin, now.udp].map(|it| it.0), [60, 120, 77]);
    assert_eq!(manual.timeouts().as_deref(), Some("tcp 60"));
}
