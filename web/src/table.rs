//! The table of paths. The cost of a look-up hardly depends on the number of routes.
//!
//! Paths are stored as a tree of segments. The text children of a node are adjacent and sorted by hash, so a child is found by a
//! binary search over numbers. The result of a match is only the node where the path ends; a parameter is found later through the
//! depth of its node.

mod build;
mod scan;

use aurora_http_core::request::{Method, decode_path_into};
use scan::{Segment, check_segments, segment};

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
    /// Of `text`.
    hash: u32,
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

/// A table of methods and paths, for programs that call their handlers themselves. Others use [`Routes`](crate::Routes), which
/// is built on it.
///
/// There is room for `N - 1` routes and `N - 1` different segments.
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

/// A segment has to be decoded or rejected.
struct Special;

/// Why there is no route for a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum NoRoute {
    /// There is no route with this path: 404.
    NotFound,
    /// The routes with this path have other methods: 405.
    OtherMethods,
    /// The path has a malformed escape, or a segment `.` or `..`, in any spelling: 400.
    Malformed,
}

impl<const N: usize> Table<N> {
    /// The route for this method and path, as its index in the list that the table was made from. HEAD falls back to GET. `path`
    /// is the path as it was sent, without the query.
    ///
    /// # Errors
    /// [`NoRoute`] if there is none.
    pub fn find(&self, method: Method<'_>, path: &[u8]) -> Result<usize, NoRoute> {
        let node = self.node(path)?;
        self.route_at(node, method).map(usize::from).ok_or(NoRoute::OtherMethods)
    }

    /// The node that a path ends at, which has a route.
    pub(crate) fn node(&self, path: &[u8]) -> Result<u16, NoRoute> {
        if path.first() != Some(&b'/') {
            return Err(NoRoute::NotFound);
        }
        match self.descend::<false>(ROOT, path, 1) {
            Ok(Some(node)) => Ok(node),
            Ok(None) | Err(Special) => self.decoded_node(path),
        }
    }

    /// As [`node`](Self::node), of paths that need a second look: they may have escapes or dot segments, or no route.
    #[cold]
    fn decoded_node(&self, path: &[u8]) -> Result<u16, NoRoute> {
        check_segments(&path[1..])?;
        self.descend::<true>(ROOT, path, 1).ok().flatten().ok_or(NoRoute::NotFound)
    }

    /// The node below `at` that a path ends at, whose segments from `from` on are left. Unless `DECODES`, a segment that is not
    /// what it stands for ends the search.
    ///
    /// A node is visited once at most, and the recursion is as deep as the longest route.
    fn descend<const DECODES: bool>(&self, mut at: u16, path: &[u8], mut from: usize) -> Result<Option<u16>, Special> {
        loop {
            let node = &self.nodes[at as usize];
            if let Some((next, end)) = self.only_child(node, path, from) {
                if end == path.len() {
                    return Ok((self.nodes[next as usize].route != NONE).then_some(next));
                }
                (at, from) = (next, end + 1);
                continue;
            }
            let segment = segment(path, from);
            if !DECODES && segment.is_special {
                return Err(Special);
            }
            let text = self.child::<DECODES>(node, path, from, segment);
            let param = if segment.end == from { NONE } else { node.param };
            let is_last = segment.end == path.len();
            let next = if text != NONE { text } else { param };
            let has_others = node.rest != NONE || text != NONE && param != NONE;
            if !has_others {
                if next == NONE {
                    return Ok(None);
                }
                if is_last {
                    return Ok((self.nodes[next as usize].route != NONE).then_some(next));
                }
                (at, from) = (next, segment.end + 1);
                continue;
            }
            for next in [text, param] {
                if next == NONE {
                    continue;
                }
                let found = match is_last {
                    false => self.descend::<DECODES>(next, path, segment.end + 1)?,
                    true => (self.nodes[next as usize].route != NONE).then_some(next),
                };
                if found.is_some() {
                    return Ok(found);
                }
            }
            // What is left was not looked at yet.
            let is_special =
                |bytes: &[u8]| bytes.iter().fold(false, |found, &byte| found | matches!(byte, b'%' | b'.'));
            if !DECODES && node.rest != NONE && is_special(&path[segment.end..]) {
                return Err(Special);
            }
            return Ok((node.rest != NONE).then_some(node.rest));
        }
    }

    /// The child of a node that has no other, if the path goes on with just that, and where its segment ends: there is nothing
    /// to search, and nothing to decode.
    #[inline]
    fn only_child(&self, node: &Node, path: &[u8], from: usize) -> Option<(u16, usize)> {
        if node.count != 1 || node.param != NONE || node.rest != NONE {
            return None;
        }
        let text = self.nodes[node.first as usize].text.as_bytes();
        let left = path[from..].strip_prefix(text)?;
        matches!(left.first(), None | Some(b'/')).then_some((node.first, from + text.len()))
    }

    /// The child that is this text, decoded.
    #[inline]
    fn child<const DECODES: bool>(&self, node: &Node, path: &[u8], from: usize, found: Segment) -> u16 {
        let text = &path[from..found.end];
        if !DECODES || !found.is_special {
            return self.text_child(node, text, found.hash);
        }
        let mut buffer = [0; SEGMENT_BYTES_MAX];
        let Ok(text) = decode_path_into(text, &mut buffer) else { return NONE };
        self.text_child(node, text, segment(text, 0).hash)
    }

    #[inline]
    fn text_child(&self, node: &Node, text: &[u8], hash: u32) -> u16 {
        if node.count == 0 {
            return NONE;
        }
        let children = &self.nodes[node.first as usize..][..node.count as usize];
        // The last one whose hash is not greater, without a branch that could be mispredicted.
        let (mut at, mut size) = (0, children.len());
        while size > 1 {
            let half = size / 2;
            at = if children[at + half].hash <= hash { at + half } else { at };
            size -= half;
        }
        // Different texts may have the same hash.
        while children[at].hash == hash {
            if children[at].text.as_bytes() == text {
                return node.first + at as u16;
            }
            if at == 0 {
                break;
            }
            at -= 1;
        }
        NONE
    }

    /// The route of a node for a method.
    #[inline]
    pub(crate) fn route_at(&self, node: u16, method: Method<'_>) -> Option<u16> {
        let mut get = None;
        let mut at = self.nodes[node as usize].route;
        while at != NONE {
            let route = &self.routes[at as usize];
            if route.method == method {
                return Some(at);
            }
            if route.method == Method::Get {
                get = Some(at);
            }
            at = route.next;
        }
        get.filter(|_| method == Method::Head)
    }

    /// The routes that end at a node, in the order they were added.
    pub(crate) fn routes_of(&self, node: u16) -> impl Iterator<Item = u16> {
        let is_one = |route: &u16| *route != NONE;
        let first = Some(self.nodes[node as usize].route).filter(is_one);
        core::iter::successors(first, move |at| Some(self.routes[*at as usize].next).filter(is_one))
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
