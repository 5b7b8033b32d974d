//! The last events, and those who follow them at the control socket. Whoever reads too slowly is
//! dropped: nobody waits for a reader.

use std::collections::{BTreeSet, VecDeque};

use edge::clock;
use model::control::Event;

use crate::control::{EventRecord, Happening, Response};

use super::Supervisor;
use super::clients::{ClientId, Clients};
use super::events::words;

/// Events that are kept.
const KEPT_MAX: usize = 4096;
/// Frames that may wait for a follower: all that are kept, and as many again.
const BEHIND_MAX: usize = 2 * KEPT_MAX;
/// Bytes of a text that are kept.
const TEXT_MAX: usize = 2048;

/// The last events, the oldest first.
#[derive(Default)]
pub(super) struct Journal {
    kept: VecDeque<EventRecord>,
    last: u64,
    followers: BTreeSet<ClientId>,
}

impl Journal {
    fn note(&mut self, clients: &mut Clients, from: &str, text: String, happening: Happening) {
        self.last += 1;
        let at_ms = clock::wall().as_nanos() / 1_000_000;
        let from = from.to_owned();
        let record = EventRecord { number: self.last, at_ms, from, text, event: happening };
        let response = Response::Event(Box::new(record.clone()));
        self.followers.retain(|&id| clients.tell(id, &response, BEHIND_MAX));
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(record);
    }

    /// Tells somebody everything that is kept, and from then on what happens, or that this is all.
    pub(super) fn show(&mut self, clients: &mut Clients, id: ClientId, follow: bool) {
        for record in &self.kept {
            let response = Response::Event(Box::new(record.clone()));
            if !clients.tell(id, &response, BEHIND_MAX) {
                return;
            }
        }
        if follow {
            self.followers.insert(id);
        } else {
            clients.answer(id, &Response::Done);
        }
    }
}

impl Supervisor {
    /// A role's event, for those who want to know.
    pub(super) fn note_event(&mut self, role: &str, event: &Event) {
        // What is only of use to someone who looks for a fault is in the log.
        if matches!(event, Event::Log { severity: 6.., .. }) {
            return;
        }
        let mut event = event.clone();
        let text = words(&event);
        if let Event::Log { text, .. }
        | Event::Health { reason: text, .. }
        | Event::Check { reason: text, .. } = &mut event
        {
            shorten(text);
        }
        self.journal.note(&mut self.clients, role, bounded(text), Happening::Role(event));
    }

    /// Something that the supervisor did.
    pub(super) fn note_deed(&mut self, text: String, happening: Happening) {
        self.journal.note(&mut self.clients, "supervisor", bounded(text), happening);
    }
}

fn bounded(mut text: String) -> String {
    shorten(&mut text);
    text
}

fn shorten(text: &mut String) {
    if text.len() > TEXT_MAX {
        let mut end = TEXT_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients() -> (Clients, String) {
        let name = format!("ek-journal-{}", std::process::id());
        let directory = std::env::temp_dir().join(name).to_str().unwrap().to_owned();
        (Clients::listen(&directory).unwrap(), directory)
    }

    #[test]
    fn what_is_kept_is_bounded_and_a_follower_that_does_not_read_is_dropped() {
        let (mut clients, directory) = clients();
        let mut journal = Journal::default();
        let path = crate::control::socket_path(&directory);
        let _slow = std::os::unix::net::UnixStream::connect(path).unwrap();
        clients.admit();
        let id = clients.channels().next().unwrap().0;
        journal.show(&mut clients, id, true);
        assert_eq!(journal.followers.len(), 1);
        for number in 0..4 * KEPT_MAX {
            let event = Event::Log { severity: 5, text: format!("event {number}") };
            let text = words(&event);
            journal.note(&mut clients, "director", text, Happening::Role(event));
        }
        assert_eq!((journal.kept.len(), journal.last), (KEPT_MAX, 4 * KEPT_MAX as u64));
        assert!(journal.followers.is_empty());
        assert_eq!(clients.channels().count(), 0);
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_long_text_is_cut_between_letters() {
        let text = bounded("ä".repeat(TEXT_MAX));
        assert_eq!(text.len(), TEXT_MAX);
        assert!(bounded(format!("x{text}")).len() < TEXT_MAX);
    }
}
