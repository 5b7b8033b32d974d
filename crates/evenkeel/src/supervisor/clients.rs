//! The control socket: whoever asks, and what is owed to them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use edge::ipc::{Channel, Received};
use rustix::fs::{FlockOperation, flock};

use crate::control::{Request, Response, socket_path};

/// Most clients at a time; further ones are turned away.
const CLIENTS_MAX: usize = 64;

/// One client, as long as it stays.
pub(crate) type ClientId = u64;

/// Everyone connected to the control socket.
pub(crate) struct Clients {
    _lock: fs::File,
    door: UnixListener,
    path: PathBuf,
    channels: BTreeMap<ClientId, Channel>,
    last: ClientId,
}

impl Clients {
    /// Makes the runtime directory and listens in it. A socket that a dead Evenkeel left is
    /// replaced; one that still answers is an error.
    pub(crate) fn listen(runtime_directory: &str) -> Result<Clients, String> {
        fs::create_dir_all(runtime_directory).map_err(|error| {
            format!("cannot make the runtime directory {runtime_directory}: {error}")
        })?;
        let path = socket_path(runtime_directory);
        // The lock lasts as long as the process: two that start at once cannot both win.
        let lock = fs::File::open(runtime_directory)
            .map_err(|error| format!("cannot open {runtime_directory}: {error}"))?;
        let locked = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
        if !locked || UnixStream::connect(&path).is_ok() {
            return Err(format!(
                "another Evenkeel runs here already, at {} (a second one needs its own \
                 --runtime-dir and --pin-dir)",
                path.display()
            ));
        }
        let bind = || -> io::Result<UnixListener> {
            if path.exists() {
                fs::remove_file(&path)?;
            }
            let door = UnixListener::bind(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            door.set_nonblocking(true)?;
            Ok(door)
        };
        let door =
            bind().map_err(|error| format!("cannot listen at {}: {error}", path.display()))?;
        Ok(Clients { _lock: lock, door, path, channels: BTreeMap::new(), last: 0 })
    }

    /// Where new clients knock.
    pub(crate) fn door(&self) -> BorrowedFd<'_> {
        self.door.as_fd()
    }

    /// Everyone inside.
    pub(crate) fn channels(&self) -> impl Iterator<Item = (ClientId, &Channel)> {
        self.channels.iter().map(|(&id, channel)| (id, channel))
    }

    /// Lets in who knocked.
    pub(crate) fn admit(&mut self) {
        while let Ok((stream, _)) = self.door.accept() {
            if self.channels.len() >= CLIENTS_MAX {
                continue;
            }
            if let Ok(channel) = Channel::from_socket(OwnedFd::from(stream)) {
                self.last += 1;
                self.channels.insert(self.last, channel);
            }
        }
    }

    /// What a client asks. One that left or talks nonsense is forgotten.
    pub(crate) fn hear(&mut self, id: ClientId) -> Vec<Request> {
        let mut requests = Vec::new();
        let Some(channel) = self.channels.get_mut(&id) else { return requests };
        let mut stays = channel.flush().is_ok();
        while stays {
            match channel.receive() {
                Ok(Received::Frame(frame)) => match serde_json::from_slice(&frame.bytes) {
                    Ok(request) => requests.push(request),
                    Err(_) => stays = false,
                },
                Ok(Received::Nothing) => break,
                Ok(Received::Closed) | Err(_) => stays = false,
            }
        }
        if !stays {
            self.channels.remove(&id);
        }
        requests
    }

    /// Answers a client that is still there.
    pub(crate) fn answer(&mut self, id: ClientId, response: &Response) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let Ok(bytes) = serde_json::to_vec(response) else { return };
        channel.queue(bytes, Vec::new());
        if channel.flush().is_err() {
            self.channels.remove(&id);
        }
    }
}

impl Clients {
    /// Tells a client something that it did not ask for just now. False: it is gone, or was
    /// dropped because more than `behind` frames wait for it.
    pub(crate) fn tell(&mut self, id: ClientId, response: &Response, behind: usize) -> bool {
        self.answer(id, response);
        let waiting = self.channels.get(&id).map(Channel::waiting);
        if waiting.is_some_and(|waiting| waiting > behind) {
            self.channels.remove(&id);
            return false;
        }
        waiting.is_some()
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
