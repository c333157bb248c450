//! The table of paths: which of them a request asks for, at a cost that hardly depends on how many there are.
//!
//! Paths are kept as a tree of segments. Children that are text lie side by side, in order, so that one is found by binary
//! search over its first eight bytes as a number. Nothing is kept of a match but the node it ended at: a parameter is found
//! again by the depth of its node.

mod build;

use aurora_http_core::request::{Method, decode_path_into};

/// Longest segment of text in a route, in bytes, and how much of a segment with escapes is decoded to compare it.
pub(crate) const SEGMENT_BYTES_MAX: usize = 128;
/// Most segments of a route.
const SEGMENTS_MAX: usize = 32;
/// No such node or route.
const NONE: u16 = u16::MAX;
/// The node that every path begins at.
const ROOT: u16 = 0;

/// What a segment of a route stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Itself.
    Text,
    /// Any one segment that is not empty.
    Param,
    /// All that is left of the path.
    Rest,
}

/// A segment of one or more routes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    /// The first eight bytes of `text`, so that most comparisons are of numbers.
    key: u64,
    /// The segment, or the name of the parameter.
    text: &'static str,
    kind: Kind,
    /// How many segments come before this one, itself included.
    depth: u8,
    parent: u16,
    /// The first child that is text. While the table is built the others are linked by `next`; then they lie behind it.
    first: u16,
    count: u16,
    next: u16,
    param: u16,
    rest: u16,
    /// The first route that ends here.
    route: u16,
}

/// A method and a path, as the program has put them in.
#[derive(Clone, Copy, Debug)]
struct Route {
    method: Method<'static>,
    /// Where the path ends.
    node: u16,
    /// Another method of the same path.
    next: u16,
}

/// Methods and paths, and which of them a request means; for programs that call their handlers themselves. Others use
/// [`Routes`](crate::Routes), which stands on it.
///
/// `N` is the room: so many routes, and so many different segments less one.
///
/// ```
/// use aurora_http_core::request::Method;
/// use aurora_http_web::Table;
///
/// static TABLE: Table<16> = Table::new(&[(Method::Get, "/items/:id"), (Method::Post, "/items")]);
///
/// assert_eq!(TABLE.find(Method::Get, b"/items/7").ok(), Some(0));
/// assert_eq!(TABLE.find(Method::Post, b"/items").ok(), Some(1));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Table<const N: usize> {
    nodes: [Node; N],
    nodes_len: u16,
    routes: [Route; N],
    routes_len: u16,
}

/// Why there is no route for a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum NoRoute {
    /// No route has this path: 404.
    NotFound,
    /// Routes have this path, but with other methods: 405.
    OtherMethods,
    /// The path has an escape that is none, or a segment `.` or `..` in any spelling: 400.
    Malformed,
}

impl<const N: usize> Table<N> {
    /// The number of the route for this method and path: its place among those that the table was made of. HEAD is taken for
    /// GET where it has no route of its own. `path` is as it was sent, in front of any `?`.
    ///
    /// # Errors
    /// [`NoRoute`] when there is none.
    pub fn find(&self, method: Method<'_>, path: &[u8]) -> Result<usize, NoRoute> {
        let node = self.node(path)?;
        self.route_at(node, method).map(usize::from).ok_or(NoRoute::OtherMethods)
    }

    /// The node that a path ends at, which has a route.
    pub(crate) fn node(&self, path: &[u8]) -> Result<u16, NoRoute> {
        let Some((b'/', segments)) = path.split_first() else { return Err(NoRoute::NotFound) };
        // Without a branch for each byte: nearly every path has none of the two.
        if path.iter().fold(false, |found, &byte| found | (byte == b'%') | (byte == b'.')) {
            check_segments(segments)?;
        }
        self.descend(ROOT, segments).ok_or(NoRoute::NotFound)
    }

    /// The node below `at` that the rest of a path ends at. A node is visited once at most, and the recursion is as deep as
    /// the longest route.
    fn descend(&self, at: u16, path: &[u8]) -> Option<u16> {
        let node = &self.nodes[at as usize];
        let end = path.iter().position(|&byte| byte == b'/');
        let (segment, left) = match end {
            Some(end) => (&path[..end], Some(&path[end + 1..])),
            None => (path, None),
        };
        let text = self.child(node, segment);
        let param = if segment.is_empty() { NONE } else { node.param };
        for next in [text, param] {
            if next == NONE {
                continue;
            }
            let found = match left {
                Some(left) => self.descend(next, left),
                None => (self.nodes[next as usize].route != NONE).then_some(next),
            };
            if found.is_some() {
                return found;
            }
        }
        (node.rest != NONE).then_some(node.rest)
    }

    /// The child that is this text, decoded.
    #[inline]
    fn child(&self, node: &Node, segment: &[u8]) -> u16 {
        if node.count == 0 {
            return NONE;
        }
        if segment.contains(&b'%') { self.decoded_child(node, segment) } else { self.text_child(node, segment) }
    }

    #[cold]
    fn decoded_child(&self, node: &Node, segment: &[u8]) -> u16 {
        let mut buffer = [0; SEGMENT_BYTES_MAX];
        decode_path_into(segment, &mut buffer).map_or(NONE, |text| self.text_child(node, text))
    }

    #[inline]
    fn text_child(&self, node: &Node, segment: &[u8]) -> u16 {
        let key = key_of(segment);
        let children = &self.nodes[node.first as usize..][..node.count as usize];
        let order = |child: &Node| child.key.cmp(&key).then_with(|| child.text.as_bytes().cmp(segment));
        children.binary_search_by(order).map_or(NONE, |at| node.first + at as u16)
    }

    /// The route of a node for a method.
    pub(crate) fn route_at(&self, node: u16, method: Method<'_>) -> Option<u16> {
        let exact = self.routes_of(node).find(|&at| self.routes[at as usize].method == method);
        match method {
            Method::Head => exact.or_else(|| self.routes_of(node).find(|&at| self.method(at) == Method::Get)),
            _ => exact,
        }
    }

    /// The routes that end at a node, in the order they were added.
    pub(crate) fn routes_of(&self, node: u16) -> impl Iterator<Item = u16> {
        let first = self.nodes[node as usize].route;
        let next = |at: &u16| Some(self.routes[*at as usize].next).filter(|&next| next != NONE);
        core::iter::successors(Some(first).filter(|&first| first != NONE), next)
    }

    pub(crate) const fn method(&self, route: u16) -> Method<'static> {
        self.routes[route as usize].method
    }

    /// How many routes there are.
    pub(crate) const fn len(&self) -> u16 {
        self.routes_len
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}

/// The part of a path that a parameter of this name stands for, as it was sent.
pub(crate) fn value<'p>(nodes: &[Node], mut node: u16, name: &str, path: &'p [u8]) -> Option<&'p [u8]> {
    loop {
        let Node { kind, text, depth, parent, .. } = nodes.get(node as usize)?;
        if *kind != Kind::Text && *text == name {
            return Some(part(path, *depth, *kind));
        }
        node = *parent;
    }
}

/// The segment at a depth, or all from there.
fn part(path: &[u8], depth: u8, kind: Kind) -> &[u8] {
    let mut rest = path;
    for _ in 0..depth {
        let slash = rest.iter().position(|&byte| byte == b'/');
        rest = slash.map_or(&[], |slash| &rest[slash + 1..]);
    }
    let end = rest.iter().position(|&byte| byte == b'/').filter(|_| kind == Kind::Param);
    &rest[..end.unwrap_or(rest.len())]
}

/// Refuses escapes that are none, and dot segments: clients remove those (RFC 3986 §5.2.4), so that whoever sends one hopes
/// that it will be taken for a directory.
#[cold]
fn check_segments(segments: &[u8]) -> Result<(), NoRoute> {
    for segment in segments.split(|&byte| byte == b'/') {
        let mut dots = 0;
        let mut is_dots = true;
        let mut at = 0;
        while at < segment.len() {
            let is_dot = match &segment[at..] {
                [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    at += 2;
                    (*high, low | 0x20) == (b'2', b'e')
                }
                [b'%', ..] => return Err(NoRoute::Malformed),
                [byte, ..] => *byte == b'.',
                [] => false,
            };
            at += 1;
            dots += 1;
            is_dots &= is_dot;
        }
        if is_dots && matches!(dots, 1 | 2) {
            return Err(NoRoute::Malformed);
        }
    }
    Ok(())
}

/// The first eight bytes as a number that sorts like them; zeros behind the end.
#[inline]
const fn key_of(text: &[u8]) -> u64 {
    if let Some(bytes) = text.first_chunk() {
        return u64::from_be_bytes(*bytes);
    }
    let mut key = 0;
    let mut at = 0;
    while at < text.len() {
        key |= (text[at] as u64) << (56 - 8 * at);
        at += 1;
    }
    key
}
