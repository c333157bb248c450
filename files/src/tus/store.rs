//! Uploads on disk. Everything here may wait for it.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{Complete, Observer};

/// How often expired uploads are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// The name of an upload: 32 hexadecimal digits, so it cannot be a path.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) struct Id([u8; 32]);

impl Id {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let digits: [u8; 32] = text.try_into().ok()?;
        digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')).then_some(Self(digits))
    }

    fn random() -> io::Result<Self> {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair.copy_from_slice(&[byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
        }
        Ok(Self(digits))
    }

    pub(super) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an upload cannot be used.
#[derive(Debug)]
pub(super) enum StoreError {
    /// There is none, or it has expired.
    Missing,
    /// Another request has it.
    Busy,
    /// It has another offset.
    Offset,
    /// The content is longer than what is missing.
    TooLong,
    /// There are too many uploads.
    Full,
    Io(io::Error),
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Missing,
            _ => Self::Io(error),
        }
    }
}

/// What HEAD tells.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) metadata: String,
    pub(super) changed: SystemTime,
    is_complete: bool,
}

/// The small file beside an upload.
struct Info {
    length: u64,
    metadata: String,
    /// Its content may have been moved elsewhere.
    is_complete: bool,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    /// How many uploads there are.
    uploads: AtomicU64,
    swept: Mutex<Option<Instant>>,
}

impl Store {
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let mut uploads = 0;
        for entry in fs::read_dir(&folder)? {
            uploads += u64::from(entry?.path().extension().is_some_and(|extension| extension == "info"));
        }
        Ok(Self { folder, uploads: AtomicU64::new(uploads), swept: Mutex::new(None) })
    }

    fn content(&self, id: Id) -> PathBuf {
        self.folder.join(id.as_str())
    }

    fn info(&self, id: Id) -> PathBuf {
        self.folder.join(format!("{}.info", id.as_str()))
    }

    /// An upload of which nothing has arrived.
    pub(super) fn create(&self, length: u64, metadata: &str, uploads_max: u64) -> Result<Id, StoreError> {
        if self.uploads.fetch_add(1, Ordering::Relaxed) >= uploads_max {
            self.uploads.fetch_sub(1, Ordering::Relaxed);
            return Err(StoreError::Full);
        }
        let created = Id::random().and_then(|id| self.create_files(id, length, metadata).map(|()| id));
        created.map_err(|error| {
            self.count_out();
            StoreError::Io(error)
        })
    }

    /// All of an upload's files, or none.
    fn create_files(&self, id: Id, length: u64, metadata: &str) -> io::Result<()> {
        let content = self.content(id);
        File::create_new(&content)?;
        let info = Info { length, metadata: metadata.to_owned(), is_complete: false };
        self.write_info(id, &info).inspect_err(|_| {
            // Such as when the disk is full.
            for path in [content, self.aside(id), self.info(id)] {
                let _ = fs::remove_file(path);
            }
        })
    }

    /// Another process may have created uploads that are removed here, which were never counted.
    fn count_out(&self) {
        let one_less = |uploads: u64| Some(uploads.saturating_sub(1));
        let _ = self.uploads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
    }

    fn aside(&self, id: Id) -> PathBuf {
        self.folder.join(format!("{}.new", id.as_str()))
    }

    /// As a whole, and for good: either the old or the new one is there, and after this the new one.
    fn write_info(&self, id: Id, info: &Info) -> io::Result<()> {
        let aside = self.aside(id);
        let mut file = File::create(&aside)?;
        write!(file, "tus 1\nlength={}\ncomplete={}\nmetadata={}\n", info.length, info.is_complete, info.metadata)?;
        file.sync_all()?;
        fs::rename(aside, self.info(id))?;
        // The names, too.
        match File::open(&self.folder)?.sync_all() {
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()), // some file systems do that by themselves
            synced => synced,
        }
    }

    fn read_info(&self, id: Id) -> Result<Info, StoreError> {
        let text = fs::read_to_string(self.info(id))?;
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let length = value("length=").and_then(|length| length.parse().ok());
        let (Some("tus 1"), Some(length)) = (text.lines().next(), length) else {
            return Err(StoreError::Io(ErrorKind::InvalidData.into()));
        };
        let metadata = value("metadata=").unwrap_or_default().to_owned();
        Ok(Info { length, metadata, is_complete: value("complete=") == Some("true") })
    }

    pub(super) fn status(&self, id: Id, expires_s: Option<u64>) -> Result<Status, StoreError> {
        let info = self.read_info(id)?;
        let (offset, changed) = if info.is_complete {
            (info.length, fs::metadata(self.info(id))?.modified()?)
        } else {
            let content = fs::metadata(self.content(id))?;
            (content.len().min(info.length), content.modified()?)
        };
        if is_expired(changed, expires_s) {
            return Err(StoreError::Missing);
        }
        Ok(Status { offset, length: info.length, metadata: info.metadata, changed, is_complete: info.is_complete })
    }

    /// The status for a client. One that finds all of its upload there does not come again, so if something went wrong after the
    /// last of it had been written, what was left to do is done first.
    pub(super) fn seen(
        &self,
        id: Id,
        expires_s: Option<u64>,
        observer: Option<&Observer>,
    ) -> Result<Status, StoreError> {
        let status = self.status(id, expires_s).or_else(|error| match error {
            // The program may be about to move it.
            StoreError::Missing => self.lock(id).and_then(|_lock| self.status(id, expires_s)),
            error => Err(error),
        })?;
        if status.offset == status.length && !status.is_complete {
            let mut upload = self.append(id, status.offset, expires_s)?;
            self.complete(&mut upload, observer)?;
        }
        Ok(status)
    }

    /// Opens an upload to append to it.
    pub(super) fn append(&self, id: Id, offset: u64, expires_s: Option<u64>) -> Result<Upload, StoreError> {
        let lock = self.lock(id)?;
        // Only now, since whoever had it before may have deleted or completed it.
        let status = self.status(id, expires_s)?;
        if status.offset != offset {
            return Err(StoreError::Offset);
        }
        let is_complete = status.is_complete;
        // If it is complete, it may have been moved away, and nothing can be appended.
        let file = match is_complete {
            false => Some(OpenOptions::new().write(true).open(self.content(id))?),
            true => None,
        };
        // It expires from now on.
        file.as_ref().unwrap_or(&lock).set_modified(SystemTime::now())?;
        Ok(Upload { id, file, offset, length: status.length, metadata: status.metadata, is_complete, _lock: lock })
    }

    /// An upload, for us alone until this is closed. What is locked is the small file, because the program may move the other one.
    /// It is replaced when the upload is complete: then two may have one each, but there is nothing more to write.
    fn lock(&self, id: Id) -> Result<File, StoreError> {
        let file = OpenOptions::new().read(true).write(true).open(self.info(id))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file),
            Err(Errno::WOULDBLOCK) => Err(StoreError::Busy),
            Err(error) => Err(StoreError::Io(error.into())),
        }
    }

    /// What has to be done once all of an upload is there.
    pub(super) fn complete(&self, upload: &mut Upload, observer: Option<&Observer>) -> Result<(), StoreError> {
        if upload.offset < upload.length || upload.is_complete {
            return Ok(());
        }
        if let Some(file) = &upload.file {
            file.sync_all()?;
        }
        if let Some(observer) = observer {
            let path = self.content(upload.id);
            let complete = Complete { path: &path, bytes: upload.length, metadata: &upload.metadata };
            observer(&complete).map_err(StoreError::Io)?;
        }
        let info = Info { length: upload.length, metadata: upload.metadata.clone(), is_complete: true };
        self.write_info(upload.id, &info).map_err(StoreError::Io)?;
        upload.is_complete = true;
        Ok(())
    }

    pub(super) fn remove(&self, id: Id) -> Result<(), StoreError> {
        let _lock = self.lock(id)?;
        self.remove_locked(id)
    }

    fn remove_locked(&self, id: Id) -> Result<(), StoreError> {
        fs::remove_file(self.info(id))?;
        self.count_out();
        match fs::remove_file(self.content(id)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()), // the program has moved it
            removed => Ok(removed?),
        }
    }

    /// Removes expired uploads, unless that was done a moment ago.
    pub(super) fn sweep(&self, expires_s: Option<u64>) {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if expires_s.is_none() || swept.is_some_and(|swept| swept.elapsed() < SWEEP) {
            return;
        }
        *swept = Some(Instant::now());
        drop(swept);
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let stem = path.file_stem().and_then(|stem| Id::parse(stem.as_encoded_bytes()));
            let Some(id) = stem else { continue };
            let is_info = path.extension().is_some_and(|extension| extension == "info");
            let has_expired = || matches!(self.status(id, expires_s), Err(StoreError::Missing));
            if is_info && has_expired() {
                // Unless a request has it, or has had it in the meantime.
                let _ = self.lock(id).and_then(|_lock| if has_expired() { self.remove_locked(id) } else { Ok(()) });
            } else if !is_info && !self.info(id).exists() {
                // Left over when the server stopped during a creation or a removal.
                let is_old =
                    entry.metadata().and_then(|data| data.modified()).is_ok_and(|at| is_expired(at, expires_s));
                let _ = is_old.then(|| fs::remove_file(&path));
            }
        }
    }
}

fn is_expired(changed: SystemTime, expires_s: Option<u64>) -> bool {
    expires_s.is_some_and(|seconds| changed.elapsed().is_ok_and(|age| age >= Duration::from_secs(seconds)))
}

/// An upload to which a request appends. Nobody else can, as long as it exists.
#[derive(Debug)]
pub(super) struct Upload {
    id: Id,
    file: Option<File>,
    pub(super) offset: u64,
    pub(super) length: u64,
    metadata: String,
    is_complete: bool,
    _lock: File,
}

impl Upload {
    /// Appends bytes. If that fails in the middle, the file has a part of them, and so has the upload: HEAD tells.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.len() as u64 > self.length - self.offset {
            return Err(StoreError::TooLong);
        }
        if let Some(file) = &self.file {
            file.write_all_at(bytes, self.offset).map_err(StoreError::Io)?;
        }
        self.offset += bytes.len() as u64;
        Ok(())
    }
}
