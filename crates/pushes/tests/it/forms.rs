//! Every form of a URL with its reason.

use domain::Mode;
use pushes::{Endpoint, EndpointError, Policy, URL_BYTES_MAX};

/// What became of a form, in a word.
fn verdict(url: &str, mode: Mode, policy: &Policy) -> &'static str {
    match Endpoint::parse(url, mode, policy) {
        Ok(_) => "taken",
        Err(EndpointError::Length) => "length",
        Err(EndpointError::Characters) => "characters",
        Err(EndpointError::NotAscii) => "not ascii",
        Err(EndpointError::Scheme(_)) => "scheme",
        Err(EndpointError::UserInfo) => "user info",
        Err(EndpointError::Fragment) => "fragment",
        Err(EndpointError::Port(_)) => "port",
        Err(EndpointError::PortForm) => "port form",
        Err(EndpointError::EncodedHost) => "encoded host",
        Err(EndpointError::OddAddress) => "odd address",
        Err(EndpointError::Address(_, reason)) => reason,
        Err(EndpointError::TrailingDot) => "trailing dot",
        Err(EndpointError::Name) => "name",
        Err(EndpointError::Inside) => "inside",
        Err(EndpointError::Spelling(_)) => "spelling",
    }
}

/// Forms and what becomes of them in live mode.
const FORMS: &[(&str, &str)] = &[
    ("https://hooks.example.com", "taken"),
    ("https://hooks.example.com/", "taken"),
    ("https://HOOKS.Example.COM/Push", "taken"),
    ("https://hooks.example.com:443/push", "taken"),
    ("https://hooks.example.com/push?token=a%20b&x=1", "taken"),
    ("https://hooks.example.com?token=a", "taken"),
    ("https://a-b.c1.example.co.uk/p/a/t/h;v=1", "taken"),
    ("https://xn--fiqs8s.example.com/", "taken"),
    ("https://1and1.com/", "taken"),
    ("https://0x7f.example.com/", "taken"),
    ("https://8.8.8.8/", "taken"),
    ("https://[2606:4700:4700::1111]/", "taken"),
    ("https://[2606:4700:4700::1111]:443/", "taken"),
    // Schemes.
    ("http://hooks.example.com/", "scheme"),
    ("HTTPS://hooks.example.com/", "scheme"),
    ("ftp://hooks.example.com/", "scheme"),
    ("file:///etc/passwd", "scheme"),
    ("gopher://127.0.0.1:6379/_INFO", "scheme"),
    ("javascript:alert(1)", "scheme"),
    ("data:text/plain,x", "scheme"),
    ("unix:///run/docker.sock", "scheme"),
    ("ws://hooks.example.com/", "scheme"),
    ("//hooks.example.com/", "scheme"),
    ("hooks.example.com", "scheme"),
    ("https:hooks.example.com", "scheme"),
    ("https:/hooks.example.com", "scheme"),
    ("https:///hooks.example.com", "name"),
    ("https://", "name"),
    ("https:///", "name"),
    ("https://?x", "name"),
    (" https://hooks.example.com/", "characters"),
    ("https://hooks.example.com/ ", "characters"),
    ("", "length"),
    // User info, and what looks like a host before it.
    ("https://user@hooks.example.com/", "user info"),
    ("https://user:pass@hooks.example.com/", "user info"),
    ("https://@hooks.example.com/", "user info"),
    ("https://hooks.example.com@127.0.0.1/", "user info"),
    ("https://127.0.0.1@hooks.example.com/", "user info"),
    ("https://a:b@c@127.0.0.1/", "user info"),
    ("https://hooks.example.com:443@127.0.0.1/", "user info"),
    // Characters that readers treat differently.
    ("https://hooks.example.com\\@127.0.0.1/", "characters"),
    ("https://hooks.example.com\\.evil.example/", "characters"),
    ("https:\\\\hooks.example.com/", "characters"),
    ("https://hooks.exa\tmple.com/", "characters"),
    ("https://hooks.example.com/\r\nHost: x", "characters"),
    ("https://hooks.example.com/\u{0}", "characters"),
    ("https://hooks.example.com /", "characters"),
    ("https://hooks.example.com/a b", "characters"),
    ("https://hooks.example.com/<x>", "characters"),
    ("https://hooks.example.com/\"", "characters"),
    ("https://{host}/", "characters"),
    ("https://127.0.0.1|hooks.example.com/", "characters"),
    ("https://hooks.example.com/`id`", "characters"),
    // Fragments.
    ("https://hooks.example.com/#top", "fragment"),
    ("https://hooks.example.com#@127.0.0.1/", "fragment"),
    ("https://127.0.0.1#hooks.example.com/", "fragment"),
    // Ports.
    ("https://hooks.example.com:80/", "port"),
    ("https://hooks.example.com:22/", "port"),
    ("https://hooks.example.com:6379/", "port"),
    ("https://hooks.example.com:8443/", "port"),
    ("https://hooks.example.com:65535/", "port"),
    ("https://hooks.example.com:0/", "port form"),
    ("https://hooks.example.com:/", "port form"),
    ("https://hooks.example.com:0443/", "port form"),
    ("https://hooks.example.com:+443/", "port form"),
    ("https://hooks.example.com:65536/", "port form"),
    ("https://hooks.example.com:66000/", "port form"),
    ("https://hooks.example.com:443a/", "port form"),
    ("https://hooks.example.com:443:443/", "odd address"),
    ("https://[2606:4700:4700::1111]443/", "name"),
    ("https://[2606:4700:4700::1111]:22/", "port"),
    // Addresses inside.
    ("https://127.0.0.1/", "loopback"),
    ("https://127.0.0.1:443/", "loopback"),
    ("https://127.255.255.254/", "loopback"),
    ("https://0.0.0.0/", "this network"),
    ("https://10.0.0.1/", "private"),
    ("https://172.16.0.1/", "private"),
    ("https://192.168.1.1/", "private"),
    ("https://100.64.0.1/", "carrier-grade NAT"),
    ("https://169.254.169.254/latest/meta-data/", "metadata of a cloud"),
    ("https://100.100.100.200/", "metadata of a cloud"),
    ("https://168.63.129.16/", "metadata of a cloud"),
    ("https://169.254.1.1/", "link-local"),
    ("https://224.0.0.1/", "multicast"),
    ("https://255.255.255.255/", "broadcast"),
    ("https://192.0.2.1/", "documentation"),
    ("https://198.18.0.1/", "benchmark"),
    ("https://[::1]/", "loopback"),
    ("https://[::]/", "unspecified"),
    ("https://[::ffff:7f00:1]/", "IPv4-mapped"),
    ("https://[::ffff:127.0.0.1]/", "IPv4-mapped"),
    ("https://[::FFFF:10.0.0.1]/", "IPv4-mapped"),
    ("https://[0:0:0:0:0:ffff:7f00:1]/", "IPv4-mapped"),
    ("https://[::127.0.0.1]/", "IPv4-compatible"),
    ("https://[::7f00:1]/", "IPv4-compatible"),
    ("https://[64:ff9b::127.0.0.1]/", "NAT64"),
    ("https://[64:ff9b::a9fe:a9fe]/", "NAT64"),
    ("https://[64:ff9b:1::7f00:1]/", "NAT64"),
    ("https://[2002:7f00:1::]/", "6to4"),
    ("https://[2001:0:7f00:1::]/", "Teredo"),
    ("https://[fc00::1]/", "unique-local"),
    ("https://[fd00:ec2::254]/", "metadata of a cloud"),
    ("https://[fe80::1]/", "link-local"),
    ("https://[fec0::1]/", "site-local"),
    ("https://[ff02::1]/", "multicast"),
    ("https://[2001:db8::1]/", "documentation"),
    ("https://[2606:4700::5efe:7f00:1]/", "ISATAP"),
    // Odd forms of addresses.
    ("https://0x7f.1/", "odd address"),
    ("https://0x7f000001/", "odd address"),
    ("https://0X7F000001/", "odd address"),
    ("https://0x7f.0x0.0x0.0x1/", "odd address"),
    ("https://0x/", "odd address"),
    ("https://1.0x/", "odd address"),
    ("https://2130706433/", "odd address"),
    ("https://017700000001/", "odd address"),
    ("https://0177.0.0.1/", "odd address"),
    ("https://0177.0.0.01/", "odd address"),
    ("https://127.1/", "odd address"),
    ("https://127.0.1/", "odd address"),
    ("https://127.0.0.01/", "odd address"),
    ("https://127.0.0.1./", "odd address"),
    ("https://0x7f.1./", "odd address"),
    ("https://0/", "odd address"),
    ("https://1/", "odd address"),
    ("https://4294967296/", "odd address"),
    ("https://127.0.0.256/", "odd address"),
    ("https://127.0.0.1.5/", "odd address"),
    ("https://08.8.8.8/", "odd address"),
    ("https://134744072/", "odd address"),
    ("https://hooks.example.1/", "odd address"),
    ("https://hooks.example.0x1f/", "odd address"),
    ("https://::1/", "odd address"),
    ("https://2606:4700::1/", "odd address"),
    ("https://[2606:4700:4700:0:0:0:0:1111]/", "odd address"),
    ("https://[2606:4700:4700::0001]/", "odd address"),
    ("https://[::1/", "odd address"),
    ("https://[]/", "odd address"),
    ("https://[127.0.0.1]/", "odd address"),
    ("https://[hooks.example.com]/", "odd address"),
    ("https://[v1.fe80::a]/", "odd address"),
    ("https://[fe80::1%25eth0]/", "encoded host"),
    ("https://[::1%eth0]/", "encoded host"),
    // Encodings of hosts.
    ("https://127.0.0.%31/", "encoded host"),
    ("https://%31%32%37.0.0.1/", "encoded host"),
    ("https://hooks%2eexample.com/", "encoded host"),
    ("https://hooks.example.com%00.evil.example/", "encoded host"),
    ("https://hooks.example.com%2f@127.0.0.1/", "user info"),
    ("https://１２７.０.０.１/", "not ascii"),
    ("https://127。0。0。1/", "not ascii"),
    ("https://①②⑦.⓪.⓪.①/", "not ascii"),
    ("https://ｌocalhost/", "not ascii"),
    ("https://loc\u{ad}alhost/", "not ascii"),
    ("https://中国.example.com/", "not ascii"),
    ("https://hooks.example.com\u{2044}x/", "not ascii"),
    ("https://hooks.example.com/é", "not ascii"),
    // Names that mean a place inside, or none.
    ("https://localhost/", "inside"),
    ("https://LOCALHOST/", "inside"),
    ("https://localhost:443/", "inside"),
    ("https://a.localhost/", "inside"),
    ("https://localhost.localdomain/", "inside"),
    ("https://printer.local/", "inside"),
    ("https://metadata.google.internal/", "inside"),
    ("https://router.lan/", "inside"),
    ("https://mail.corp/", "inside"),
    ("https://nas.home.arpa/", "inside"),
    ("https://1.0.0.127.in-addr.arpa/", "inside"),
    ("https://abc.onion/", "inside"),
    ("https://metadata/", "inside"),
    ("https://redis/", "inside"),
    ("https://localhost./", "trailing dot"),
    ("https://hooks.example.com./", "trailing dot"),
    ("https://hooks.example.com../", "trailing dot"),
    ("https://./", "trailing dot"),
    ("https://../", "trailing dot"),
    // No names.
    ("https://hooks..example.com/", "name"),
    ("https://.example.com/", "name"),
    ("https://-a.example.com/", "name"),
    ("https://a-.example.com/", "name"),
    ("https://under_score.example.com/", "name"),
    ("https://hooks.example.com,127.0.0.1/", "odd address"),
    ("https://127.0.0.1,hooks.example.com/", "name"),
    ("https://hooks!.example.com/", "name"),
    ("https://*.example.com/", "name"),
    ("https://$(id).example.com/", "name"),
    ("https://a;b.example.com/", "name"),
    ("https://xn--a.example.com/", "name"),
    // Paths that readers write otherwise.
    ("https://hooks.example.com/../admin", "spelling"),
    ("https://hooks.example.com/a/./b", "spelling"),
    ("https://hooks.example.com/%2e%2e/admin", "spelling"),
    ("https://hooks.example.com/?a='", "spelling"),
];

#[test]
fn every_form_has_its_reason() {
    for (url, expected) in FORMS {
        assert_eq!(verdict(url, Mode::Live, &Policy::default()), *expected, "{url:?}");
    }
}

#[test]
fn test_mode_takes_plain_http_and_port_80_too() {
    for (url, expected) in [
        ("http://hooks.example.com/", "taken"),
        ("http://hooks.example.com:80/", "taken"),
        ("http://hooks.example.com:443/", "taken"),
        ("https://hooks.example.com:80/", "taken"),
        ("http://hooks.example.com:8080/", "port"),
        ("http://127.0.0.1/", "loopback"),
        ("http://localhost/", "inside"),
        ("ftp://hooks.example.com/", "scheme"),
    ] {
        assert_eq!(verdict(url, Mode::Test, &Policy::default()), expected, "{url}");
    }
}

#[test]
fn what_the_operator_allows() {
    let policy = Policy {
        ranges: vec!["10.0.0.0/8".parse().unwrap()],
        ports: vec![8443],
        hosts: vec!["hooks".to_owned(), "a.internal".to_owned()],
    };
    for (url, expected) in [
        ("https://10.0.0.1:8443/", "taken"),
        ("https://hooks:8443/", "taken"),
        ("https://a.internal/", "taken"),
        ("https://b.internal/", "inside"),
        ("https://192.168.0.1/", "private"),
        ("https://167772161/", "odd address"),
        ("https://[::ffff:10.0.0.1]/", "IPv4-mapped"),
        ("http://10.0.0.1/", "scheme"),
        ("https://10.0.0.1:8444/", "port"),
        ("https://hooks./", "trailing dot"),
    ] {
        assert_eq!(verdict(url, Mode::Live, &policy), expected, "{url}");
    }
}

#[test]
fn urls_and_names_have_a_longest_length() {
    let longest = format!("https://a.example/{}", "x".repeat(URL_BYTES_MAX - 18));
    let policy = Policy::default();
    assert_eq!(verdict(&longest, Mode::Live, &policy), "taken");
    assert_eq!(verdict(&format!("{longest}x"), Mode::Live, &policy), "length");
    let label = |length| format!("https://{}.example.com/", "a".repeat(length));
    assert_eq!(verdict(&label(63), Mode::Live, &policy), "taken");
    assert_eq!(verdict(&label(64), Mode::Live, &policy), "name");
    let name = |labels| format!("https://{}com/", "abcdefgh.".repeat(labels));
    assert_eq!(verdict(&name(27), Mode::Live, &policy), "taken");
    assert_eq!(verdict(&name(28), Mode::Live, &policy), "name");
}

#[test]
fn the_plain_form_is_kept() {
    let endpoint = |url| Endpoint::parse(url, Mode::Live, &Policy::default()).unwrap();
    let given = endpoint("https://Hooks.Example.com:443?a=1");
    assert_eq!(given.as_str(), "https://hooks.example.com/?a=1");
    assert_eq!(given.host(), "hooks.example.com");
    // The plain form is its own.
    assert_eq!(endpoint(given.as_str()), given);
}

/// No form that is taken may lead the client's parser to another host than the one that was checked.
#[test]
fn whatever_is_taken_is_one_host_to_both_readers() {
    let parts = [
        "a.example",
        "127.0.0.1",
        "@",
        ":",
        "443",
        "/",
        "\\",
        "#",
        "?",
        ".",
        "%2e",
        "[::1]",
        "0x7f",
        "1",
    ];
    let mut taken = 0;
    for number in 0..parts.len().pow(4) {
        let pick = |power: u32| parts[number / parts.len().pow(power) % parts.len()];
        let url = format!("https://{}{}{}{}", pick(0), pick(1), pick(2), pick(3));
        let Ok(endpoint) = Endpoint::parse(&url, Mode::Live, &Policy::default()) else { continue };
        let authority = url[8..].split(['/', '?']).next().unwrap();
        let host = authority.strip_suffix(":443").unwrap_or(authority);
        assert_eq!(endpoint.host(), host, "{url}");
        taken += 1;
    }
    assert!(taken > 100, "{taken}");
}
