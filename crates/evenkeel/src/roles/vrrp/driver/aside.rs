//! Work on the kernel that takes longer than adverts can wait: making and removing interfaces
//! waits for grace periods there, tens of milliseconds each. A thread without real-time priority
//! does it, while this one goes on with adverts and timers and nothing else.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use edge::clock;

use super::Driver;
use crate::roles::vrrp::kernel::Kernel;

/// Adverts that arrive meanwhile are read this often.
const GLANCE: Duration = Duration::from_millis(1);
/// Bytes; with locked memory all of them are touched at once.
const STACK: usize = 256 << 10;

impl Driver {
    /// Does something to the kernel aside, and returns when it is done. What transitions ask for
    /// meanwhile is put in line.
    pub(super) fn aside<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Kernel) -> T + Send + 'static,
    ) -> T {
        let (give, take) = mpsc::channel();
        let thread =
            thread::Builder::new().name("aside".into()).stack_size(STACK).spawn(move || {
                let (mut kernel, work): (Kernel, _) = take.recv().ok()?;
                let work: Box<dyn FnOnce(&mut Kernel) -> T + Send> = work;
                let result = work(&mut kernel);
                Some((result, kernel))
            });
        let (Ok(thread), Ok(stand_in)) = (thread, Kernel::vacant()) else {
            return work(&mut self.kernel);
        };
        let kernel = std::mem::replace(&mut self.kernel, stand_in);
        // It is received: the thread waits for nothing else.
        let _ = give.send((kernel, Box::new(work)));
        let (result, kernel) = self.meanwhile(thread).expect("the thread was given its work");
        self.kernel = kernel;
        result
    }

    fn meanwhile<T>(&mut self, thread: JoinHandle<T>) -> T {
        while !thread.is_finished() {
            let deadline = self.next_deadline();
            thread::sleep(deadline.since(clock::now()).min(GLANCE));
            self.hear_all();
            self.be_punctual();
            self.announce_due();
        }
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
