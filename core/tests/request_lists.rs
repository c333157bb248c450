//! Fields that are lists (RFC 9110 §5.6.1): every way of writing one means the same.

use aurora_http_core::limits::Limits;
use aurora_http_core::parse::{BodyLength, HeadError, HeadScan, with_head};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The meaning of a head's lists.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Meaning {
    persistent: bool,
    expects_continue: bool,
    options: Vec<String>,
    /// In lower case; `None` if no upgrade is offered.
    upgrade: Option<Vec<String>>,
}

fn meaning(head: &[u8]) -> Result<Meaning, HeadError> {
    let names = |list: &mut dyn Iterator<Item = &[u8]>| {
        list.map(|name| String::from_utf8(name.to_ascii_lowercase()).unwrap()).collect::<Vec<_>>()
    };
    with_head(head, &Limits::default(), &mut HeadScan::default(), |parsed| {
        let request = parsed?.expect("a whole head");
        assert_eq!(request.body_length(), BodyLength::Length(5));
        Ok(Meaning {
            persistent: request.persistent(),
            expects_continue: request.expects_continue(),
            options: names(&mut request.connection_options()),
            upgrade: request.upgrade().map(|mut list| names(&mut list)),
        })
    })
}

/// The meaning of the members, derived without parsing a list.
fn expected(http11: bool, options: &[&str], upgrade: &[&str], expect: &[&str]) -> Result<Meaning, HeadError> {
    if http11 && expect.iter().any(|member| *member != "100-continue") {
        return Err(HeadError::Expectation);
    }
    let has = |name| options.contains(&name);
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    Ok(Meaning {
        persistent: !has("close") && (http11 || has("keep-alive")),
        expects_continue: http11 && !expect.is_empty(),
        options: owned(options),
        upgrade: (http11 && has("upgrade") && !upgrade.is_empty()).then(|| owned(upgrade)),
    })
}

/// White space around a member.
fn blank() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["", "", " ", "\t", " \t "][..])
}

/// What separates two members: a comma, empty members, or the end of one field and the beginning of another.
#[derive(Clone, Debug)]
enum Gap {
    Commas(Vec<&'static str>),
    NextField,
    /// A field with the same name and no members.
    EmptyField(&'static str),
}

fn gap() -> impl Strategy<Value = Gap> {
    prop_oneof![
        4 => vec(blank(), 1..4).prop_map(Gap::Commas),
        2 => Just(Gap::NextField),
        1 => prop::sample::select(&["", ",", " ,\t,", " "][..]).prop_map(Gap::EmptyField),
    ]
}

/// Field lines that list `members`, written in some legal way.
fn written(name: &'static str, members: Vec<&'static str>) -> impl Strategy<Value = String> {
    let count = members.len();
    let around = vec((blank(), any::<u32>(), blank(), gap()), count + 1);
    let (ends, cases) = (vec(prop::sample::select(&["", ",", ", ,", ",\t"][..]), 2), vec(any::<u32>(), 8));
    (around, ends, cases).prop_map(move |(around, ends, cases)| {
        let mut case = cases.into_iter().cycle();
        let mut begin = || format!("{}:", in_case(name, case.next().unwrap_or_default()));
        if members.is_empty() {
            return match &around[0].3 {
                Gap::EmptyField(value) => format!("{}{value}\r\n", begin()),
                Gap::Commas(blanks) => format!("{}{},\r\n", begin(), blanks.join(",")),
                Gap::NextField => String::new(),
            };
        }
        let mut lines = begin() + ends[0];
        for (at, (member, (before, letters, behind, gap))) in members.iter().zip(&around).enumerate() {
            lines += &[*before, &in_case(member, *letters), behind].concat();
            match gap {
                _ if at + 1 == members.len() => lines += ends[1],
                Gap::Commas(blanks) => lines += &[",", &blanks.join(",")].concat(),
                Gap::NextField => lines += &["\r\nX-Between: close, upgrade\r\n", &begin()].concat(),
                Gap::EmptyField(value) => lines += &["\r\n", &begin(), value, "\r\n", &begin()].concat(),
            }
        }
        lines + "\r\n"
    })
}

/// `name` with the letters in upper case that `bits` selects.
fn in_case(name: &str, bits: u32) -> String {
    let upper = |at: usize| bits >> (at % 32) & 1 == 1;
    name.chars().enumerate().map(|(at, c)| if upper(at) { c.to_ascii_uppercase() } else { c }).collect()
}

fn members(of: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    vec(prop::sample::select(of), 0..4)
}

fn list(name: &'static str, of: &'static [&'static str]) -> impl Strategy<Value = (Vec<&'static str>, String)> {
    members(of).prop_flat_map(move |members| (Just(members.clone()), written(name, members)))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000, rng_seed: RngSeed::Fixed(5_6_1), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn a_list_means_the_same_however_it_is_written(
        http11 in any::<bool>(),
        (options, connection) in list("connection", &["close", "keep-alive", "upgrade", "x", "closed"]),
        (protocols, upgrade) in list("upgrade", &["websocket", "h2c", "a/1"]),
        (expectations, expect) in list("expect", &["100-continue", "100-continue", "100-continue", "100-continu", "x=y"]),
    ) {
        let version = if http11 { "1.1" } else { "1.0" };
        let lines = [connection, upgrade, expect].concat();
        let head = format!("POST / HTTP/{version}\r\nHost: x\r\n{lines}Content-Length: 5\r\n\r\n");
        let expected = expected(http11, &options, &protocols, &expectations);
        prop_assert_eq!(meaning(head.as_bytes()), expected, "{:?}", head);
    }
}
