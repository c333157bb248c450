//! One exchange: a request to an upstream, and its response to the client.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use aurora_http::core::proxy_header::ProxyHeader;
use aurora_http::core::request::BodyLength;
use aurora_http::{Content, Exchange, Flow, Method, Peer, Request, Respond, ResponseWriter, WriteError};

use crate::config::{ProxyProtocol, Via};
use crate::link::Link;
use crate::proxy::{Proxy, Shared, count};
use crate::request::{Way, is_for_proxies, write_head};
use crate::response::{Body, Framing, Head, head_len, with_head};
use crate::transfer::{Phase, Step, Transfer, Upload};
use crate::{body, dial, has_short_connection, tunnel};

/// An exchange that is passed on: what a handler returns. See [`Proxy::forward`].
pub struct Forwarding {
    proxy: Proxy,
    /// `None` if the answer was given here.
    transfer: Option<Box<Transfer>>,
}

impl Forwarding {
    /// Begins, and goes as far as possible.
    pub(crate) fn begin(proxy: &Proxy, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Self {
        let mut this = Self { proxy: proxy.clone(), transfer: None };
        // An error latches, and is answered.
        let _ = this.prepare(request, response);
        this
    }

    fn prepare(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        let shared = &*self.proxy.shared;
        let (config, method) = (&shared.config, request.method());
        let max_forwards = match read_max_forwards(request) {
            Hops::None => None,
            Hops::Left(hops) => Some(hops),
            Hops::Invalid => return response.fail(400),
            Hops::Last if method == Method::Trace => return response.fail(501),
            Hops::Last => return response.status(204),
        };
        if !has_short_connection(request.fields()) {
            return response.fail(431);
        }
        let target = if method == Method::Connect { Some(find_tunnel(shared, request)) } else { None };
        if target == Some(None) {
            return response.fail(403);
        }
        if request.content_length().is_some_and(|length| length > config.limits.content_bytes_max) {
            return response.fail(413);
        }
        let Some(mut transfer) = shared.begin() else {
            count(&shared.counts.refused);
            return response.fail(503);
        };
        count(&shared.counts.forwarded);
        transfer.since = Some(Instant::now());
        transfer.is_head = method == Method::Head;
        transfer.is_idempotent = is_idempotent(method);
        transfer.expects_continue = request.expects_continue();
        transfer.upload = match request.body_length() {
            BodyLength::None | BodyLength::Length(0) => Upload::Done,
            BodyLength::Length(_) => Upload::Length,
            BodyLength::Chunked => Upload::Chunked,
        };
        transfer.whole_upload = transfer.upload;
        let transfer = self.transfer.insert(transfer);
        if let Some(Some(target)) = target {
            transfer.is_connect = true;
            transfer.tried = !(1 << target);
        } else {
            let upgrade = config.upgrades.iter().position(|protocol| request.upgrades_to(protocol));
            transfer.upgrade = upgrade.filter(|_| transfer.upload == Upload::Done);
            write_proxy_header(&mut transfer.output, request, config.proxy_protocol);
            let way = Way {
                config,
                max_forwards,
                upgrade: transfer.upgrade.map(|at| config.upgrades[at].as_str()),
                closes: config.proxy_protocol.is_some() || config.limits.kept_max == 0,
            };
            transfer.host_at = write_head(&mut transfer.output, request, &way);
            transfer.is_host_ours = transfer.host_at.is_empty();
        }
        match dial::find_link(shared, transfer) {
            Ok(()) => Ok(()),
            Err(status) => {
                count(&shared.counts.failed);
                if let Some(transfer) = self.transfer.take() {
                    shared.end(transfer);
                }
                response.fail(status)
            }
        }
    }

    /// The time until now was the client's, not the upstream's.
    fn waited_for_client(&mut self) {
        if let Some(transfer) = &mut self.transfer {
            transfer.moved();
        }
    }

    /// Sends and receives what is possible.
    fn go_on(mut self, mut content: Option<&mut Content<'_>>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        let Some(transfer) = &mut self.transfer else { return Flow::Finish };
        let shared = &*self.proxy.shared;
        // What is written in this call leaves after it.
        let has_left = matches!(transfer.phase, Phase::Body | Phase::Tunnel);
        if let Some(link) = &mut transfer.link {
            shared.hub.refresh(link);
        }
        loop {
            let step = match transfer.phase {
                Phase::Connecting => dial::connect(shared, transfer, response),
                Phase::Head | Phase::Body => step(shared, transfer, content.as_deref_mut(), response),
                Phase::Tunnel => tunnel::step(transfer, content.as_deref_mut(), response),
            };
            match step {
                Step::Again => {}
                Step::Full => return Flow::Produce(self),
                Step::Done => return Flow::Finish,
                Step::Failed(status) => {
                    fail(shared, transfer, response, status, has_left);
                    return Flow::Finish;
                }
                Step::Ask => {
                    return if ask(shared, transfer, response) { Flow::ReceiveOrResume(self) } else { Flow::Finish };
                }
                Step::Wait => match wait(shared, transfer, response) {
                    Waiting::Not => {}
                    Waiting::Upstream => return Flow::Defer(self),
                    Waiting::Both => return Flow::ReceiveOrResume(self),
                    Waiting::Late => {
                        fail(shared, transfer, response, 504, has_left);
                        return Flow::Finish;
                    }
                    Waiting::Never => return Flow::Finish,
                },
            }
        }
    }
}

/// What an exchange waits for.
enum Waiting {
    /// It need not.
    Not,
    Upstream,
    /// The upstream and the client.
    Both,
    /// It has waited for too long.
    Late,
    /// It cannot: the writer knows why.
    Never,
}

fn wait(shared: &Shared, transfer: &mut Transfer, response: &mut ResponseWriter<'_>) -> Waiting {
    let limits = &shared.config.limits;
    let is_tunnel = transfer.phase == Phase::Tunnel;
    let can_write = transfer.link.as_ref().is_some_and(Link::can_write);
    let wants_content = if is_tunnel { can_write && !transfer.is_finished } else { transfer.wants_content() };
    // The server has its own timeouts for content.
    let is_timed = is_tunnel || !wants_content;
    if is_timed {
        let timeout_ms = match transfer.phase {
            Phase::Connecting => limits.connect_timeout_ms,
            Phase::Head if transfer.expects_continue && transfer.is_flushed() => limits.continue_timeout_ms,
            Phase::Head if transfer.upload == Upload::Done && transfer.is_flushed() => limits.response_timeout_ms,
            Phase::Head | Phase::Body => limits.transfer_timeout_ms,
            Phase::Tunnel => limits.tunnel_timeout_ms,
        };
        let since = *transfer.since.get_or_insert_with(Instant::now);
        let left = (since + Duration::from_millis(timeout_ms.into())).saturating_duration_since(Instant::now());
        if left.is_zero() {
            if transfer.phase == Phase::Head && transfer.expects_continue && transfer.is_flushed() {
                // The upstream may know nothing of it (RFC 9110 §10.1.1).
                transfer.expects_continue = false;
                transfer.moved();
                return Waiting::Not;
            }
            return if transfer.phase == Phase::Connecting { late_to_connect(shared, transfer) } else { Waiting::Late };
        }
        response.wake_after(u32::try_from(left.as_millis()).unwrap_or(u32::MAX).saturating_add(1));
    }
    let Ok(token) = response.defer() else { return Waiting::Never };
    let Some(link) = &mut transfer.link else {
        let _ = response.fail(502);
        return Waiting::Never;
    };
    if !shared.hub.watch(link, token) {
        return Waiting::Not;
    }
    if !wants_content {
        return Waiting::Upstream;
    }
    Waiting::Both
}

/// Asks for the content, and to be called again at once; `false` if that is not possible.
fn ask(shared: &Shared, transfer: &mut Transfer, response: &mut ResponseWriter<'_>) -> bool {
    let Ok(token) = response.defer() else { return false };
    transfer.has_asked = true;
    response.limit_content(shared.config.limits.content_bytes_max);
    shared.hub.resume(token);
    true
}

/// Tries the next upstream in place of one that does not answer.
fn late_to_connect(shared: &Shared, transfer: &mut Transfer) -> Waiting {
    transfer.rewind(&shared.hub);
    match dial::open_next(shared, transfer) {
        Ok(()) => Waiting::Not,
        Err(_) => Waiting::Late,
    }
}

fn fail(shared: &Shared, transfer: &Transfer, response: &mut ResponseWriter<'_>, status: u16, has_left: bool) {
    count(match status {
        _ if has_left => &shared.counts.cut_off,
        504 => &shared.counts.timed_out,
        _ => &shared.counts.failed,
    });
    if transfer.phase != Phase::Tunnel {
        // Cuts a response off that has begun to leave.
        let _ = response.fail(status);
    }
}

/// Sends the request, its content, and passes the response on.
fn step(
    shared: &Shared,
    transfer: &mut Transfer,
    content: Option<&mut Content<'_>>,
    response: &mut ResponseWriter<'_>,
) -> Step {
    if transfer.flush().is_err() {
        // Perhaps it has answered before.
        transfer.give_up_upload();
    }
    if let Some(content) = content
        && transfer.pass_on(content).is_err()
    {
        transfer.give_up_upload();
        transfer.drop_content(content);
    }
    if transfer.phase == Phase::Head {
        if !transfer.has_asked && transfer.wants_content() {
            return Step::Ask;
        }
        read_head(shared, transfer, response)
    } else {
        let step = body::pass_back(transfer, response);
        if let Step::Done = step {
            keep(shared, transfer);
        }
        step
    }
}

/// Receives the head of the response.
fn read_head(shared: &Shared, transfer: &mut Transfer, response: &mut ResponseWriter<'_>) -> Step {
    let head_bytes_max = shared.config.limits.head_bytes_max;
    loop {
        let found = head_len(transfer.unused(), transfer.searched);
        if found.unwrap_or(transfer.unused().len()) + transfer.interim > head_bytes_max {
            return Step::Failed(502);
        }
        if let Some(len) = found {
            return take_head(shared, transfer, response, len);
        }
        transfer.searched = transfer.unused().len();
        match transfer.receive() {
            Ok(None) => return Step::Wait,
            Ok(Some(1..)) => {}
            // The request may be sent once more, if nothing has been heard of it (RFC 9110 §9.2.2).
            Ok(Some(0)) | Err(_) => {
                let is_unheard = transfer.input.is_empty() && transfer.interim == 0;
                if !is_unheard || transfer.is_retried || !transfer.is_idempotent || transfer.has_content {
                    return Step::Failed(502);
                }
                return dial::reopen(shared, transfer);
            }
        }
    }
}

/// Takes a complete head of `len` bytes: of an interim response, or of the final one, which begins then.
fn take_head(shared: &Shared, transfer: &mut Transfer, response: &mut ResponseWriter<'_>, len: usize) -> Step {
    let (from, config) = (transfer.used, &shared.config);
    let protocol = transfer.upgrade.map(|at| config.upgrades[at].as_str());
    let taken = with_head(&transfer.input[from..from + len], transfer.is_head, |head| match head.status {
        101 => match protocol.filter(|protocol| switches_to(&head, protocol)) {
            Some(protocol) => switch(&head, protocol, &config.via, response).map(|()| Taken::Switched),
            None => Ok(Taken::Wrong),
        },
        100..=199 => Ok(Taken::Interim(head.status)),
        407 => Ok(Taken::Wrong),
        _ => begin_response(&head, &config.via, response).map(|()| Taken::Final(head.framing, head.is_persistent)),
    });
    transfer.used += len;
    transfer.searched = 0;
    match taken {
        Err(_) | Ok(Ok(Taken::Wrong)) => Step::Failed(502),
        // The writer has the error.
        Ok(Err(_)) => Step::Done,
        Ok(Ok(Taken::Interim(status))) => {
            transfer.interim += len;
            transfer.expects_continue &= status != 100;
            Step::Again
        }
        Ok(Ok(Taken::Switched)) => {
            transfer.phase = Phase::Tunnel;
            transfer.moved();
            Step::Again
        }
        Ok(Ok(Taken::Final(framing, is_persistent))) => {
            transfer.phase = Phase::Body;
            transfer.moved();
            transfer.is_persistent = is_persistent && transfer.upload != Upload::Broken;
            transfer.body = Some(Body::new(framing));
            Step::Again
        }
    }
}

enum Taken {
    Interim(u16),
    Switched,
    Final(Framing, bool),
    /// Nothing that may be passed on.
    Wrong,
}

fn switches_to(head: &Head<'_>, protocol: &str) -> bool {
    head.fields.get("Upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case(protocol.as_bytes()))
}

fn switch(head: &Head<'_>, protocol: &str, via: &Via, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    let mut fields: Vec<(&str, &[u8])> = head.fields.forwarded().map(|field| (field.name, field.value)).collect();
    fields.retain(|(name, _)| !is_for_proxies(name));
    fields.push(("Via", via_of(head, via)));
    response.switch_protocols(protocol, &fields)
}

fn begin_response(head: &Head<'_>, via: &Via, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    response.status(head.status)?;
    for field in head.fields.forwarded().filter(|field| !is_for_proxies(field.name)) {
        response.field(field.name, field.value)?;
    }
    response.field("Via", via_of(head, via))?;
    let lacks = |name| head.fields.get(name).is_none_or(<[u8]>::is_empty);
    match head.status {
        401 if lacks("WWW-Authenticate") => response.field("WWW-Authenticate", "Unspecified")?,
        405 if head.fields.get("Allow").is_none() => response.field("Allow", "")?,
        426 => response.field("Upgrade", head.fields.get("Upgrade").unwrap_or(b"HTTP/2.0"))?,
        _ => {}
    }
    response.stream(head.announced.or((head.framing == Framing::None).then_some(0)).filter(|_| {
        // Without a length in a response to HEAD nothing is said about one.
        head.framing != Framing::None || head.announced.is_some()
    }))
}

/// The version in which the upstream has answered, and the proxy's name.
fn via_of<'v>(head: &Head<'_>, via: &'v Via) -> &'v [u8] {
    if head.is_http10 { via.http10.as_bytes() } else { via.http11.as_bytes() }
}

/// Keeps the connection for the next request, if it is in order.
fn keep(shared: &Shared, transfer: &mut Transfer) {
    // `Step::Done` is also what follows an error of the writer's, in the middle of a body.
    let is_complete = transfer.body.as_ref().is_some_and(Body::has_ended);
    let is_sent = transfer.upload == Upload::Done && transfer.is_flushed();
    let is_clean = is_complete && is_sent && transfer.unused().is_empty();
    let Some(link) = transfer.link.take() else { return };
    match transfer.choice.filter(|_| transfer.is_persistent && is_clean) {
        Some(choice) => shared.hub.keep(link, choice.upstream),
        None => shared.hub.close(link),
    }
}

/// The client may send it again without harm, and so may we (RFC 9110 §9.2.2).
fn is_idempotent(method: Method<'_>) -> bool {
    matches!(method, Method::Get | Method::Head | Method::Put | Method::Delete | Method::Options | Method::Trace)
}

/// How often a TRACE or OPTIONS may be passed on (RFC 9110 §7.6.2).
enum Hops {
    None,
    /// So many times, this one not counted.
    Left(u32),
    /// Not at all.
    Last,
    Invalid,
}

fn read_max_forwards(request: &Request<'_>) -> Hops {
    if !matches!(request.method(), Method::Trace | Method::Options) {
        return Hops::None;
    }
    let Some(value) = request.fields().get("Max-Forwards") else { return Hops::None };
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Hops::Invalid;
    }
    let hops: u32 = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX);
    hops.checked_sub(1).map_or(Hops::Last, Hops::Left)
}

/// The target of a CONNECT among those that are allowed.
fn find_tunnel(shared: &Shared, request: &Request<'_>) -> Option<usize> {
    let target = request.target();
    shared.tunnels.all.iter().position(|allowed| allowed.name.as_bytes().eq_ignore_ascii_case(target))
}

/// Tells the upstream who the client is, before the request. What the client has connected to is not known here.
fn write_proxy_header(out: &mut Vec<u8>, request: &Request<'_>, version: Option<ProxyProtocol>) {
    let Some(version) = version else { return };
    let header = match request.peer() {
        Some(Peer::Ip(source)) => {
            let source = (source.ip().to_canonical(), source.port()).into();
            let any: IpAddr = match source {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            ProxyHeader::Client { source, destination: (any, 0).into() }
        }
        _ => ProxyHeader::Local,
    };
    let mut bytes = [0; ProxyHeader::ENCODED_BYTES_MAX];
    let written = match version {
        ProxyProtocol::V1 => header.encode_v1(&mut bytes),
        ProxyProtocol::V2 => header.encode_v2(&mut bytes),
    };
    // There is room.
    out.extend_from_slice(&bytes[..written.unwrap_or(0)]);
}

impl Respond for Forwarding {
    type Exchange = Self;

    fn respond(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        self.go_on(None, response)
    }
}

impl Exchange for Forwarding {
    fn receive(mut self, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        self.waited_for_client();
        self.go_on(Some(content), response)
    }

    fn produce(mut self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        self.waited_for_client();
        self.go_on(None, response)
    }

    fn resume(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        self.go_on(None, response)
    }
}

impl fmt::Debug for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = self.transfer.as_ref().map(|transfer| transfer.phase);
        f.debug_struct("Forwarding").field("phase", &phase).finish_non_exhaustive()
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        if let Some(transfer) = self.transfer.take() {
            self.proxy.shared.end(transfer);
        }
    }
}
