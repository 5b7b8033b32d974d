//! TCP_CHECK: the connection opens, nothing is said.

use alloc::string::ToString;

use super::Step;

#[derive(Debug)]
pub(super) struct TcpProbe;

impl TcpProbe {
    pub(super) fn handle_connected(&mut self) -> Step {
        Step::Pass("connection accepted".to_string())
    }
}
