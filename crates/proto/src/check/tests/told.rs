//! BFD_CHECK and FILE_CHECK.

use model::check::FileCheck;

use super::*;

#[test]
fn a_bfd_session_decides_at_once_and_nothing_is_tried() {
    let mut checker = Checker::new(plan(CheckKind::Bfd("peer".to_string())), at(0), 0);
    assert_eq!(checker.next_deadline(), Time::NEVER);
    checker.handle_timeout(Time::NEVER);
    checker.handle_suspend(at(1));
    assert_eq!(outputs(&mut checker), []);
    let story = [(false, true), (false, false), (true, true), (true, false)];
    for (up, changes) in story {
        checker.handle_told(at(5), Told::Up(up));
        let says = if up { "BFD session up" } else { "BFD session down" };
        let expected = if changes { vec![verdict(up, says)] } else { Vec::new() };
        assert_eq!(outputs(&mut checker), expected);
        assert_eq!((checker.is_up(), checker.last_at()), (up, Some(at(5))));
    }
    checker.handle_told(at(6), Told::Value(Some(1)));
    assert!(outputs(&mut checker).is_empty() && checker.last_at() == Some(at(5)));
}

fn file(weight: i32, reverse: bool, dynamic: bool) -> Checker {
    let name = "load".to_string();
    checker(CheckKind::File(FileCheck { name, weight, reverse, dynamic }))
}

#[test]
fn a_files_number_decides_as_keepalived_has_it() {
    let (least, most) = (i32::MIN, i32::MAX);
    // (weight, reversed, the file, up, what is added when dynamic)
    let cases = [
        (0, false, Some(0), true, 0),
        (0, false, None, true, 0),
        (0, false, Some(1), false, 0),
        (0, false, Some(-1), false, 0),
        (0, true, Some(0), false, 0),
        (0, true, None, false, 0),
        (0, true, Some(5), true, 0),
        (2, false, Some(10), true, 20),
        (2, false, Some(-10), true, -20),
        (2, true, Some(10), true, -20),
        (-2, false, Some(10), true, -20),
        (-2, true, Some(10), true, 20),
        (2, false, None, true, 0),
        (1, false, Some(least), false, 0),
        (1, true, Some(least), true, most),
        (2, false, Some(most), true, most),
        (-1, false, Some(most), true, least + 1),
        (-2, false, Some(most), false, 0),
    ];
    for (weight, reverse, value, up, added) in cases {
        let case = (weight, reverse, value);
        for dynamic in [false, true] {
            let mut checker = file(weight, reverse, dynamic);
            checker.handle_told(at(1), Told::Value(value));
            assert_eq!(checker.is_up(), up, "{case:?}");
            assert_eq!(checker.weight(), if dynamic { added } else { 0 }, "{case:?}");
        }
    }
}

#[test]
fn a_file_tells_of_weights_and_verdicts_once_each() {
    let mut checker = file(10, false, true);
    let mut tell = |value| {
        checker.handle_told(at(1), Told::Value(value));
        outputs(&mut checker)
    };
    assert_eq!(tell(Some(3)), [Output::Weight(30)]);
    assert_eq!(tell(Some(3)), []);
    let down = format!("file load says {}", i32::MIN);
    assert_eq!(tell(Some(i32::MIN)), [verdict(false, &down), Output::Weight(0)]);
    assert_eq!(tell(Some(1)), [Output::Weight(10), verdict(true, "file load says 1")]);
    assert_eq!(tell(None), [Output::Weight(0)]);
}
