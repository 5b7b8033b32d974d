//! bpf(2): maps as bytes, pins and test runs.
//!
//! Values cross as byte slices; their layout belongs to the callers. Lengths are checked against
//! the sizes the kernel reports for the map, so no call here can make it read or write beyond a
//! buffer of ours.

use std::ffi::CString;
use std::fs;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount};

const MAP_CREATE: u32 = 0;
const MAP_LOOKUP: u32 = 1;
const MAP_UPDATE: u32 = 2;
const MAP_DELETE: u32 = 3;
const OBJ_PIN: u32 = 6;
const OBJ_GET: u32 = 7;
const PROG_TEST_RUN: u32 = 10;
const OBJ_INFO: u32 = 15;
const MAP_LOOKUP_BATCH: u32 = 24;
const MAP_UPDATE_BATCH: u32 = 26;
const LINK_DETACH: u32 = 34;

const MMAPABLE: u32 = 1 << 10;

const BPF_FS_MAGIC: i64 = 0xcafe_4a11;
const USUAL_MOUNT_POINT: &str = "/sys/fs/bpf";

/// Kind of a map this module can create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// BPF_MAP_TYPE_HASH.
    Hash,
    /// BPF_MAP_TYPE_ARRAY.
    Array,
    /// BPF_MAP_TYPE_ARRAY with BPF_F_MMAPABLE: see [`crate::mapped`].
    MappableArray,
}

impl MapKind {
    /// The kernel's number of the type, and flags.
    const fn numbers(self) -> (u32, u32) {
        match self {
            MapKind::Hash => (1, 0),
            MapKind::Array => (2, 0),
            MapKind::MappableArray => (2, MMAPABLE),
        }
    }
}

/// Elements written in one system call: a tenth of a millisecond.
const ELEMENTS_AT_ONCE: usize = 512;

/// A BPF map, held by a descriptor of this process.
#[derive(Debug)]
pub struct Map {
    descriptor: OwnedFd,
    key_size: usize,
    /// Bytes user space exchanges per element: for per-CPU maps, of all CPUs together.
    value_size: usize,
    max_entries: u32,
    number: u32,
}

#[repr(C)]
#[derive(Default)]
struct CreateAttr {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct ElementAttr {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct ObjectAttr {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct LinkAttr {
    link_fd: u32,
}

#[repr(C)]
#[derive(Default)]
struct InfoAttr {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// The head of `struct bpf_map_info`.
#[repr(C)]
#[derive(Default)]
struct MapInfo {
    kind: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct TestAttr {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    pad: u32,
}

/// What BPF_PROG_TEST_RUN reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRun {
    /// What the program returned: an XDP or TC action.
    pub action: u32,
    /// The packet afterwards.
    pub packet: Vec<u8>,
    /// Mean time of one run, nanoseconds.
    pub duration_ns: u32,
}

fn bpf<T>(command: u32, attr: &mut T) -> io::Result<i32> {
    // SAFETY: every caller passes a zero-initialised `repr(C)` prefix of `union bpf_attr` whose
    // pointers are valid for the sizes it states; the kernel reads and writes nothing else.
    let done = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>() as u32)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done as i32) }
}

fn owned(descriptor: i32) -> OwnedFd {
    // SAFETY: called only with a descriptor that bpf(2) has just returned; nobody else has it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a path with a zero byte"))
}

fn raw(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd() as u32
}

/// Opens a pinned object, whatever its kind.
pub fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let name = c_path(path)?;
    let mut attr = ObjectAttr { pathname: name.as_ptr() as u64, ..Default::default() };
    Ok(owned(bpf(OBJ_GET, &mut attr)?))
}

/// Takes a pinned link's program off its interface, at once: without this that happens a while
/// after the last pin and descriptor of the link are gone.
pub fn detach_link(path: &Path) -> io::Result<()> {
    let link = open_pinned(path)?;
    bpf(LINK_DETACH, &mut LinkAttr { link_fd: raw(link.as_fd()) }).map(drop)
}

/// Pins an object under a path on a BPF file system.
pub fn pin(descriptor: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let name = c_path(path)?;
    let mut attr = ObjectAttr {
        pathname: name.as_ptr() as u64,
        bpf_fd: raw(descriptor),
        ..Default::default()
    };
    bpf(OBJ_PIN, &mut attr).map(drop)
}

impl Map {
    /// Creates a map. `name` is cut to 15 bytes, as the kernel shows it.
    pub fn create(
        kind: MapKind,
        name: &str,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
    ) -> io::Result<Map> {
        let (map_type, map_flags) = kind.numbers();
        let mut attr = CreateAttr {
            map_type,
            key_size,
            value_size,
            max_entries,
            map_flags,
            ..Default::default()
        };
        for (to, from) in attr.map_name[..15].iter_mut().zip(name.bytes()) {
            *to = from;
        }
        Map::over(owned(bpf(MAP_CREATE, &mut attr)?))
    }

    /// Opens a pinned map.
    pub fn open(path: &Path) -> io::Result<Map> {
        Map::over(open_pinned(path)?)
    }

    fn over(descriptor: OwnedFd) -> io::Result<Map> {
        let mut info = MapInfo::default();
        let mut attr = InfoAttr {
            bpf_fd: raw(descriptor.as_fd()),
            info_len: size_of::<MapInfo>() as u32,
            info: &raw mut info as u64,
        };
        bpf(OBJ_INFO, &mut attr)?;
        const PER_CPU: [u32; 3] = [5, 6, 10];
        let value_size = match PER_CPU.contains(&info.kind) {
            true => (info.value_size as usize).next_multiple_of(8) * possible_cpus()?,
            false => info.value_size as usize,
        };
        Ok(Map {
            descriptor,
            key_size: info.key_size as usize,
            value_size,
            max_entries: info.max_entries,
            number: info.id,
        })
    }

    /// Elements it has room for.
    pub fn max_entries(&self) -> u32 {
        self.max_entries
    }

    /// Bytes of a key.
    pub fn key_size(&self) -> usize {
        self.key_size
    }

    /// Bytes per element in user space; of all CPUs together for a per-CPU map.
    pub fn value_size(&self) -> usize {
        self.value_size
    }

    /// Its number, by which programs that use it are known.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Pins it.
    pub fn pin(&self, path: &Path) -> io::Result<()> {
        pin(self.descriptor.as_fd(), path)
    }

    fn check(&self, key: &[u8], value: Option<usize>) -> io::Result<()> {
        if key.len() != self.key_size || value.is_some_and(|length| length != self.value_size) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "key or value of another size than the map's",
            ));
        }
        Ok(())
    }

    /// Reads an element into `value`. False when there is none.
    pub fn lookup(&self, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
        self.check(key, Some(value.len()))?;
        let mut attr = ElementAttr {
            map_fd: raw(self.descriptor.as_fd()),
            key: key.as_ptr() as u64,
            value: value.as_mut_ptr() as u64,
            ..Default::default()
        };
        match bpf(MAP_LOOKUP, &mut attr) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes an element, new or not.
    pub fn update(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.check(key, Some(value.len()))?;
        let mut attr = ElementAttr {
            map_fd: raw(self.descriptor.as_fd()),
            key: key.as_ptr() as u64,
            value: value.as_ptr() as u64,
            ..Default::default()
        };
        bpf(MAP_UPDATE, &mut attr).map(drop)
    }

    /// Writes many elements in few system calls, each of them short. `keys` and `values` stand one
    /// behind the other.
    pub fn update_many(&self, keys: &[u8], values: &[u8]) -> io::Result<()> {
        let keys = keys.chunks(self.key_size * ELEMENTS_AT_ONCE);
        for (keys, values) in keys.zip(values.chunks(self.value_size * ELEMENTS_AT_ONCE)) {
            let count = keys.len() / self.key_size;
            if keys.len() % self.key_size != 0 || values.len() != count * self.value_size {
                self.check(&[], None)?;
            }
            let mut attr = BatchAttr {
                keys: keys.as_ptr() as u64,
                values: values.as_ptr() as u64,
                count: count as u32,
                map_fd: raw(self.descriptor.as_fd()),
                ..Default::default()
            };
            if bpf(MAP_UPDATE_BATCH, &mut attr).is_err() {
                // An older kernel, or one element that cannot be written: say which error it is.
                let values = values.chunks_exact(self.value_size);
                for (key, value) in keys.chunks_exact(self.key_size).zip(values) {
                    self.update(key, value)?;
                }
            }
        }
        Ok(())
    }

    /// Removes an element. False when there was none.
    pub fn delete(&self, key: &[u8]) -> io::Result<bool> {
        self.check(key, None)?;
        let mut attr = ElementAttr {
            map_fd: raw(self.descriptor.as_fd()),
            key: key.as_ptr() as u64,
            ..Default::default()
        };
        match bpf(MAP_DELETE, &mut attr) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads up to `room` elements from where `cursor` stands, whole hash buckets at a time, and
    /// moves the cursor; it becomes `None` again at the end of the map. Elements that come or go
    /// meanwhile may be missed, none is seen twice in one round.
    pub fn lookup_batch(&self, cursor: &mut Option<u32>, room: usize) -> io::Result<Batch> {
        let mut batch = Batch {
            keys: vec![0; room * self.key_size],
            values: vec![0; room * self.value_size],
            key_size: self.key_size,
            value_size: self.value_size,
        };
        let from = cursor.unwrap_or_default();
        let mut to = 0u32;
        let mut attr = BatchAttr {
            in_batch: if cursor.is_some() { &raw const from as u64 } else { 0 },
            out_batch: &raw mut to as u64,
            keys: batch.keys.as_mut_ptr() as u64,
            values: batch.values.as_mut_ptr() as u64,
            count: room as u32,
            map_fd: raw(self.descriptor.as_fd()),
            ..Default::default()
        };
        *cursor = match bpf(MAP_LOOKUP_BATCH, &mut attr) {
            Ok(_) => Some(to),
            // The end of the map; what was found before it is valid.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        batch.keys.truncate(attr.count as usize * self.key_size);
        batch.values.truncate(attr.count as usize * self.value_size);
        Ok(batch)
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Some elements of a map.
#[derive(Debug)]
pub struct Batch {
    keys: Vec<u8>,
    values: Vec<u8>,
    key_size: usize,
    value_size: usize,
}

impl Batch {
    /// The elements: key and value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.keys.chunks_exact(self.key_size).zip(self.values.chunks_exact(self.value_size))
    }
}

/// CPUs the kernel may ever have: the number of values in a per-CPU element.
pub fn possible_cpus() -> io::Result<usize> {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible")?;
    let last = text.trim().rsplit(['-', ',']).next().and_then(|number| number.parse().ok());
    last.map(|last: usize| last + 1)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "list of possible CPUs"))
}

/// Runs a program on a packet with BPF_PROG_TEST_RUN. The packet may grow by up to 256 bytes.
pub fn test_run(program: BorrowedFd<'_>, packet: &[u8], repeat: u32) -> io::Result<TestRun> {
    let mut out = vec![0; packet.len() + 256];
    let mut attr = TestAttr {
        prog_fd: raw(program),
        data_size_in: packet.len() as u32,
        data_size_out: out.len() as u32,
        data_in: packet.as_ptr() as u64,
        data_out: out.as_mut_ptr() as u64,
        repeat,
        ..Default::default()
    };
    bpf(PROG_TEST_RUN, &mut attr)?;
    out.truncate(attr.data_size_out as usize);
    Ok(TestRun { action: attr.retval, packet: out, duration_ns: attr.duration })
}

/// Makes sure that `directory` exists on a BPF file system, mounting one if there is none: at
/// `/sys/fs/bpf` for directories below it, at the directory itself elsewhere.
pub fn ensure_pin_directory(directory: &Path) -> io::Result<()> {
    let usual = Path::new(USUAL_MOUNT_POINT);
    let mount_point: PathBuf = match directory.starts_with(usual) {
        true => usual.to_path_buf(),
        false => directory.to_path_buf(),
    };
    if !on_bpf_file_system(directory)? {
        fs::create_dir_all(&mount_point)?;
        if !on_bpf_file_system(&mount_point)? {
            mount("bpf", &mount_point, "bpf", MountFlags::empty(), None::<&std::ffi::CStr>)?;
        }
    }
    fs::create_dir_all(directory)
}

/// Whether `path`, or the nearest ancestor of it that exists, is on a BPF file system.
fn on_bpf_file_system(path: &Path) -> io::Result<bool> {
    for place in path.ancestors() {
        match rustix::fs::statfs(place) {
            Ok(found) => return Ok(found.f_type == BPF_FS_MAGIC),
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_walk_sees_every_element_once() {
        let Ok(map) = Map::create(MapKind::Hash, "walk", 4, 8, 1000) else {
            println!("skipped: no BPF here");
            return;
        };
        for number in 0..700u32 {
            map.update(&number.to_ne_bytes(), &u64::from(number).to_ne_bytes()).unwrap();
        }
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let batch = map.lookup_batch(&mut cursor, 64).unwrap();
            seen.extend(batch.iter().map(|(key, _)| u32::from_ne_bytes(key.try_into().unwrap())));
            if cursor.is_none() {
                break;
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..700).collect::<Vec<_>>());
    }

    #[test]
    fn a_key_of_the_wrong_size_is_refused_before_the_kernel_sees_it() {
        let Ok(map) = Map::create(MapKind::Hash, "sizes", 4, 8, 10) else {
            println!("skipped: no BPF here");
            return;
        };
        assert!(map.update(&[0; 3], &[0; 8]).is_err());
        assert!(map.lookup(&[0; 4], &mut [0; 4]).is_err());
    }
}
