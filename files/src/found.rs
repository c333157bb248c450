//! What a path names: a file, perhaps a compressed sibling, the index of a folder, or a listing.

use std::path::Path;

use aurora_http::Request;
use aurora_http_web::accept;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::files::Options;
use crate::listing;
use crate::media::MediaType;
use crate::path::{Below, SPARE};
use crate::root::{Facts, Reach, Root, facts};

/// A content coding, with the ending of a sibling that has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

impl Coding {
    const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    pub(crate) const fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    const fn ending(self) -> &'static [u8] {
        match self {
            Self::Brotli => b".br",
            Self::Zstd => b".zst",
            Self::Gzip => b".gz",
        }
    }
}

/// The codings that a client accepts, the preferred one first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Codings([Option<Coding>; 3]);

impl Codings {
    /// Those that `Accept-Encoding` prefers to the plain file.
    pub(crate) fn of(request: &Request<'_>) -> Self {
        let mut left = Coding::ALL.map(Some);
        let mut codings = Self::default();
        for place in &mut codings.0 {
            let offers = left.iter().flatten().map(|coding| coding.token());
            let Some(token) = accept::encoding(request, offers) else { break };
            *place = Coding::ALL.into_iter().find(|coding| coding.token() == token);
            left.iter_mut().filter(|coding| **coding == *place).for_each(|coding| *coding = None);
        }
        codings
    }
}

/// An open file, to be sent.
#[derive(Debug)]
pub(crate) struct FoundFile {
    pub(crate) file: OwnedFd,
    pub(crate) facts: Facts,
    pub(crate) media: MediaType,
    pub(crate) coding: Option<Coding>,
}

#[derive(Debug)]
pub(crate) enum Found {
    File(FoundFile),
    /// The name of a folder without the slash at its end.
    Folder,
    /// An HTML page about a folder.
    Listing(Vec<u8>),
    /// 404.
    Missing,
    /// 403.
    Forbidden,
    /// 503: too many files are open.
    Busy,
    /// 500: the disk fails.
    Broken,
}

impl From<Errno> for Found {
    fn from(error: Errno) -> Self {
        match error {
            Errno::ACCESS | Errno::PERM => Self::Forbidden,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM => Self::Busy,
            Errno::IO => Self::Broken,
            // Not there; a link that leads out or in a circle (XDEV, LOOP); a name that is too long; a socket (NXIO); …
            _ => Self::Missing,
        }
    }
}

/// What is asked for of a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query {
    pub(crate) is_folder: bool,
    pub(crate) codings: Codings,
    pub(crate) order: listing::Order,
}

/// Finds what a path names. `None` if that takes more than `reach` allows.
pub(crate) fn look_up(
    root: &Root,
    options: &Options,
    path: &mut Below<'_>,
    query: Query,
    reach: Reach,
) -> Option<Found> {
    let len = path.len();
    let found = find(root, options, path, query, reach);
    path.truncate(len);
    if matches!(found, Some(Found::Missing))
        && let Some(fallback) = &options.fallback
        && !path.name().contains(&b'.')
    {
        return find_fallback(root, options, fallback, query, reach);
    }
    found
}

/// The page for paths that name nothing.
fn find_fallback(root: &Root, options: &Options, fallback: &str, query: Query, reach: Reach) -> Option<Found> {
    let mut room = [0; 2 * SPARE];
    let Some(mut path) = Below::fixed(fallback, &mut room) else { return Some(Found::Missing) };
    match find(root, options, &mut path, Query { is_folder: false, ..query }, reach)? {
        // Not a page: a redirection would lead to ever longer paths.
        Found::Folder => Some(Found::Missing),
        found => Some(found),
    }
}

fn find(root: &Root, options: &Options, path: &mut Below<'_>, query: Query, reach: Reach) -> Option<Found> {
    let (file, facts) = match open(root, options, path, reach)? {
        Ok(opened) => opened,
        Err(found) => return Some(found),
    };
    match facts.kind {
        FileType::RegularFile if query.is_folder => Some(Found::Missing),
        FileType::RegularFile => find_coded(root, options, path, query, reach, (file, facts)),
        FileType::Directory if !query.is_folder => Some(Found::Folder),
        FileType::Directory => find_index(root, options, path, query, reach, file),
        _ => Some(Found::Missing),
    }
}

/// Opens what a path names. `None` if that takes more than `reach` allows.
#[allow(clippy::type_complexity)]
fn open(root: &Root, options: &Options, path: &mut Below<'_>, reach: Reach) -> Option<Result<(OwnedFd, Facts), Found>> {
    let Some(name) = path.as_c_str() else { return Some(Err(Found::Missing)) };
    let opened = root.open_below(name, options.follow_links, reach).and_then(|file| {
        let facts = facts(file.as_fd())?;
        Ok((file, facts))
    });
    match opened {
        Ok(opened) => Some(Ok(opened)),
        Err(Errno::AGAIN) if reach == Reach::Cached => None,
        Err(error) => Some(Err(error.into())),
    }
}

/// The sibling that the client prefers, unless it is older than the file itself, or the file.
fn find_coded(
    root: &Root,
    options: &Options,
    path: &mut Below<'_>,
    query: Query,
    reach: Reach,
    (file, plain): (OwnedFd, Facts),
) -> Option<Found> {
    let media = options.media_type(path.name());
    if options.precompressed {
        let len = path.len();
        for coding in query.codings.0.into_iter().flatten() {
            path.truncate(len);
            let Some(()) = path.append(coding.ending()) else { break };
            if let Ok((file, facts)) = open(root, options, path, reach)?
                && facts.kind == FileType::RegularFile
                && (facts.modified_s, facts.modified_ns) >= (plain.modified_s, plain.modified_ns)
            {
                return Some(Found::File(FoundFile { file, facts, media, coding: Some(coding) }));
            }
        }
    }
    Some(Found::File(FoundFile { file, facts: plain, media, coding: None }))
}

/// The index of a folder, or a listing of it.
fn find_index(
    root: &Root,
    options: &Options,
    path: &mut Below<'_>,
    query: Query,
    reach: Reach,
    folder: OwnedFd,
) -> Option<Found> {
    let len = path.len();
    if let Some(index) = &options.index
        && path.enter(index.as_bytes()).is_some()
    {
        match open(root, options, path, reach)? {
            Ok((file, facts)) if facts.kind == FileType::RegularFile => {
                return find_coded(root, options, path, query, reach, (file, facts));
            }
            Err(found @ (Found::Busy | Found::Broken)) => return Some(found),
            _ => {}
        }
    }
    path.truncate(len);
    if !options.listings {
        return Some(Found::Missing);
    }
    if reach == Reach::Cached {
        return None;
    }
    let shown = path.as_bytes().to_vec();
    let mut behind = |name: &[u8]| {
        path.truncate(len);
        path.enter(name)?;
        open(root, options, path, reach)?.ok().map(|(_, facts)| facts)
    };
    let page = listing::page(folder, &shown, options.dot_files, query.order, &mut behind);
    Some(page.map_or_else(Found::from, Found::Listing))
}

/// Whether a name can be that of an index: one segment, which leaves room for an ending.
pub(crate) fn is_segment(name: &str) -> bool {
    let is_one = Path::new(name).components().count() == 1 && !name.contains(['/', '\\', '\0']);
    is_one && !matches!(name, "." | "..") && name.len() + 8 < SPARE
}
