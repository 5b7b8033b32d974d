//! What a director role that was just started has to know besides its part of the Plan.

use std::collections::BTreeMap;

use model::control::ToRole;

use crate::cli::Role;

use super::Supervisor;

/// BFD sessions that checkers follow, as the vrrp role told of them last.
#[derive(Default)]
pub(super) struct Sessions(BTreeMap<String, bool>);

impl Supervisor {
    /// Tells a director that was just started what it missed.
    pub(super) fn acquaint_director(&mut self) {
        let known: Vec<_> = self.sessions.0.iter().map(|(name, &up)| (name.clone(), up)).collect();
        for (name, up) in known {
            self.tell_director_of_bfd(name, up);
        }
    }

    /// A BFD session changed, or the vrrp role tells how it is. One that was never up takes no
    /// server out, as with Keepalived.
    pub(super) fn bfd_changed(&mut self, name: &str, up: bool) {
        if !up && !self.sessions.0.contains_key(name) {
            return;
        }
        self.sessions.0.insert(name.to_owned(), up);
        self.tell_director_of_bfd(name.to_owned(), up);
    }

    /// Without a vrrp role nobody hears the neighbours; sessions of a former Plan are over.
    pub(super) fn forget_sessions(&mut self) {
        let sessions: Vec<String> =
            self.plan.vrrp.bfd.iter().map(|session| session.name.clone()).collect();
        self.sessions.0.retain(|name, _| sessions.contains(name));
    }

    fn tell_director_of_bfd(&mut self, name: String, up: bool) {
        if let Some(director) = self.slot(Role::Director).running() {
            // Its end is noticed where it is heard.
            let _ = director.say(&ToRole::Bfd { name, up });
        }
    }
}
