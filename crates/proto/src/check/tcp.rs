//! TCP_CHECK: the connection opens, nothing is said.

use super::probe::Step;

pub(super) fn handle_open() -> Step {
    Step::Pass("connection accepted".into())
}
