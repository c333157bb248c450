//! Building a table, which can happen at compile time. A mistake in a route is a panic at the place where the route is added.

use aurora_http_core::request::Method;

use super::{Kind, NONE, Node, ROOT, Route, SEGMENT_BYTES_MAX, SEGMENTS_MAX, Table, segment};

const NO_ROOM: &str = "there is no room for more routes: start with `Routes::<_, _, 256>::with_room()`";

impl<const N: usize> Table<N> {
    /// A table of these routes. In a `static` or a `const`, the compiler builds and checks it.
    ///
    /// # Panics
    /// If a route is malformed, duplicate, in conflict with another one, or if there is no room. The message says which.
    #[must_use]
    #[track_caller]
    pub const fn new(routes: &[(Method<'static>, &'static str)]) -> Self {
        let mut table = Self::empty();
        let mut at = 0;
        while at < routes.len() {
            table.add(routes[at].0, routes[at].1);
            at += 1;
        }
        table.sealed()
    }

    pub(crate) const fn empty() -> Self {
        assert!(N > 0 && N < NONE as usize, "`N` must be between 1 and 65534");
        let root = Node { depth: 0, ..Node::new(Kind::Text, "", NONE, 0) };
        let route = Route { method: Method::Get, node: NONE, next: NONE };
        Self { nodes: [root; N], nodes_len: 1, routes: [route; N], routes_len: 0 }
    }

    /// Adds a route with the next number.
    #[track_caller]
    pub(crate) const fn add(&mut self, method: Method<'static>, path: &'static str) {
        let node = self.walk(ROOT, path);
        self.add_route(method, node);
    }

    /// Adds all routes of another table, which is not sealed, below a path, in the same order.
    #[track_caller]
    pub(crate) const fn add_below<const M: usize>(&mut self, prefix: &'static str, other: &Table<M>) {
        let is_root = prefix.len() == 1 && prefix.as_bytes()[0] == b'/';
        let below = if is_root { ROOT } else { self.walk(ROOT, prefix) };
        assert!(!matches!(self.nodes[below as usize].kind, Kind::Rest), "nothing can be mounted below a `*rest`");
        let mut at = 0;
        while at < other.routes_len {
            let route = other.routes[at as usize];
            let node = self.copy_path(below, other, route.node);
            self.add_route(route.method, node);
            at += 1;
        }
    }

    /// Copies the path of a node of another table below a node of this one, and returns its end. For the path `/`, that is the
    /// node itself.
    #[track_caller]
    const fn copy_path<const M: usize>(&mut self, below: u16, other: &Table<M>, node: u16) -> u16 {
        let mut line = [ROOT; SEGMENTS_MAX];
        let mut left = other.nodes[node as usize].depth as usize;
        let is_root = left == 1 && other.nodes[node as usize].text.is_empty();
        if is_root && below != ROOT {
            return below;
        }
        let mut from = node;
        while left > 0 {
            left -= 1;
            line[left] = from;
            from = other.nodes[from as usize].parent;
        }
        let mut to = below;
        let mut at = 0;
        while at < other.nodes[node as usize].depth as usize {
            let Node { kind, text, .. } = other.nodes[line[at] as usize];
            to = self.step(to, kind, text);
            at += 1;
        }
        to
    }

    #[track_caller]
    const fn add_route(&mut self, method: Method<'static>, node: u16) {
        assert!(is_token(method.as_str().as_bytes()), "a method must be a token");
        assert!((self.routes_len as usize) < N, "{}", NO_ROOM);
        let number = self.routes_len;
        let mut last = NONE;
        let mut at = self.nodes[node as usize].route;
        while at != NONE {
            let is_same = order(self.routes[at as usize].method.as_str(), method.as_str()) == 0;
            assert!(!is_same, "there is already a route with this method and path");
            last = at;
            at = self.routes[at as usize].next;
        }
        self.routes[number as usize] = Route { method, node, next: NONE };
        match last {
            NONE => self.nodes[node as usize].route = number,
            last => self.routes[last as usize].next = number,
        }
        self.routes_len += 1;
    }

    /// The node at the end of a path; creates missing nodes.
    #[track_caller]
    const fn walk(&mut self, from: u16, path: &'static str) -> u16 {
        let bytes = path.as_bytes();
        assert!(!bytes.is_empty() && bytes[0] == b'/', "the path of a route must start with a slash");
        let mut node = from;
        let (_, mut left) = bytes.split_at(1);
        loop {
            let mut end = 0;
            while end < left.len() && left[end] != b'/' {
                end += 1;
            }
            let (segment, rest) = left.split_at(end);
            let (kind, text) = parse(segment);
            node = self.step(node, kind, text);
            if rest.is_empty() {
                return node;
            }
            assert!(!matches!(kind, Kind::Rest), "nothing can follow a `*rest`");
            (_, left) = rest.split_at(1);
        }
    }

    /// The child for a segment; creates it if it is missing.
    #[track_caller]
    const fn step(&mut self, parent: u16, kind: Kind, text: &'static str) -> u16 {
        match kind {
            Kind::Text => return self.step_text(parent, text),
            Kind::Param | Kind::Rest => {}
        }
        let Node { param, rest, .. } = self.nodes[parent as usize];
        let there = if matches!(kind, Kind::Param) { param } else { rest };
        if there != NONE {
            let is_same = order(self.nodes[there as usize].text, text) == 0;
            assert!(is_same, "another route has a parameter with another name at this position");
            return there;
        }
        let mut above = parent;
        while above != ROOT {
            let Node { kind, text: name, parent, .. } = self.nodes[above as usize];
            let is_taken = !matches!(kind, Kind::Text) && order(name, text) == 0;
            assert!(!is_taken, "two parameters of a path have the same name");
            above = parent;
        }
        let node = self.push(parent, kind, text);
        match kind {
            Kind::Param => self.nodes[parent as usize].param = node,
            _ => self.nodes[parent as usize].rest = node,
        }
        node
    }

    /// The child with this text; creates it if it is missing, in the order of its siblings.
    #[track_caller]
    const fn step_text(&mut self, parent: u16, text: &'static str) -> u16 {
        let hash = segment(text.as_bytes(), 0).hash;
        let mut before = NONE;
        let mut at = self.nodes[parent as usize].first;
        while at != NONE {
            let sibling = &self.nodes[at as usize];
            let order =
                if sibling.hash == hash { order(sibling.text, text) } else { (sibling.hash > hash) as i8 * 2 - 1 };
            if order == 0 {
                return at;
            }
            if order > 0 {
                break;
            }
            before = at;
            at = sibling.next;
        }
        let node = self.push(parent, Kind::Text, text);
        self.nodes[node as usize].next = at;
        match before {
            NONE => self.nodes[parent as usize].first = node,
            before => self.nodes[before as usize].next = node,
        }
        self.nodes[parent as usize].count += 1;
        node
    }

    #[track_caller]
    const fn push(&mut self, parent: u16, kind: Kind, text: &'static str) -> u16 {
        let depth = self.nodes[parent as usize].depth + 1;
        assert!((self.nodes_len as usize) < N, "{}", NO_ROOM);
        assert!(depth as usize <= SEGMENTS_MAX, "a path can have at most 32 segments");
        let node = self.nodes_len;
        self.nodes[node as usize] = Node::new(kind, text, parent, depth);
        self.nodes_len += 1;
        node
    }

    /// The same table with adjacent siblings, as look-ups need it.
    #[must_use]
    pub(crate) const fn sealed(self) -> Self {
        let mut sealed = self;
        let mut old_of = [ROOT; N];
        let mut len = 1;
        let mut at = 0;
        while at < len {
            let old = self.nodes[old_of[at] as usize];
            let mut child = old.first;
            let first = len;
            while child != NONE {
                old_of[len] = child;
                len += 1;
                child = self.nodes[child as usize].next;
            }
            let mut node = Node { first: first as u16, next: NONE, parent: sealed.nodes[at].parent, ..old };
            if old.param != NONE {
                node.param = len as u16;
                old_of[len] = old.param;
                len += 1;
            }
            if old.rest != NONE {
                node.rest = len as u16;
                old_of[len] = old.rest;
                len += 1;
            }
            sealed.nodes[at] = node;
            let mut child = first;
            while child < len {
                sealed.nodes[child].parent = at as u16;
                child += 1;
            }
            at += 1;
        }
        sealed
    }
}

impl Node {
    const fn new(kind: Kind, text: &'static str, parent: u16, depth: u8) -> Self {
        let hash = segment(text.as_bytes(), 0).hash;
        let (first, next, param, rest) = (NONE, NONE, NONE, NONE);
        Self { hash, text, kind, depth, parent, first, count: 0, next, param, rest, route: NONE }
    }
}

/// Parses a segment of a route.
#[track_caller]
const fn parse(segment: &'static [u8]) -> (Kind, &'static str) {
    let (kind, name) = match segment {
        [b':', name @ ..] => (Kind::Param, name),
        [b'*', name @ ..] => (Kind::Rest, name),
        text => (Kind::Text, text),
    };
    let mut at = 0;
    while at < name.len() {
        match kind {
            Kind::Text => {
                let is_plain = !matches!(name[at], b'%' | b'?' | b'#');
                assert!(is_plain, "the path of a route must not contain `%`, `?` or `#`: write it decoded");
            }
            _ => {
                let is_word = name[at].is_ascii_alphanumeric() || name[at] == b'_';
                assert!(is_word, "the name of a parameter can only contain letters, digits and `_`");
            }
        }
        at += 1;
    }
    match kind {
        Kind::Text => {
            assert!(name.len() <= SEGMENT_BYTES_MAX, "a segment can have at most 128 bytes");
            assert!(!matches!(name, [b'.'] | [b'.', b'.']), "a path cannot have a segment `.` or `..`");
        }
        _ => assert!(!name.is_empty(), "a parameter needs a name, as in `/:id`"),
    }
    match str::from_utf8(name) {
        Ok(text) => (kind, text),
        // Unreachable: a part between slashes is still UTF-8.
        Err(_) => panic!("a path is text"),
    }
}

/// Negative, zero or positive: the order of two texts.
const fn order(first: &str, second: &str) -> i8 {
    let (first, second) = (first.as_bytes(), second.as_bytes());
    let mut at = 0;
    while at < first.len() && at < second.len() {
        if first[at] != second[at] {
            return if first[at] < second[at] { -1 } else { 1 };
        }
        at += 1;
    }
    if first.len() == second.len() {
        0
    } else if first.len() < second.len() {
        -1
    } else {
        1
    }
}

/// RFC 9110 §5.6.2.
const fn is_token(bytes: &[u8]) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        let is_special = matches!(
            bytes[at],
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        );
        if !bytes[at].is_ascii_alphanumeric() && !is_special {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty()
}
