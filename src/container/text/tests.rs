use super::{MAX_DEPTH, MessageKind, TextError, detect, parse, print};
use crate::wire;

/// Text and binary of one message, both written by protobuf's Python from TensorFlow's messages.
macro_rules! fixture {
    ($name:literal) => {
        (
            include_str!(concat!("../../../testdata/text/", $name, ".pbtxt")),
            include_bytes!(concat!("../../../testdata/text/", $name, ".pb")).as_slice(),
        )
    };
}

fn graph(text: &str) -> Vec<u8> {
    parse(text, MessageKind::GraphDef).unwrap()
}

fn graph_error(text: &str) -> String {
    parse(text, MessageKind::GraphDef).unwrap_err().to_string()
}

fn printed(binary: &[u8], kind: MessageKind) -> String {
    let mut out = Vec::new();
    print(binary, kind, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn reads_what_protobuf_prints_and_prints_the_same() {
    for (kind, (text, binary)) in [
        (MessageKind::MetaGraphDef, fixture!("conv_relu")),
        (MessageKind::GraphDef, fixture!("every_kind")),
        (MessageKind::SavedModel, fixture!("saved_model")),
    ] {
        assert!(parse(text, kind).unwrap() == binary, "{kind:?}: other bytes than protobuf's");
        assert_eq!(printed(binary, kind), text);
        assert_eq!(detect(text.as_bytes()), Some(kind));
        assert_eq!(detect(binary), None);
    }
}

#[test]
fn line_ends_and_byte_order_mark_change_nothing() {
    let (text, binary) = fixture!("conv_relu");
    let windows = format!("\u{feff}# made elsewhere\r\n{}", text.replace('\n', "\r\n"));
    assert!(parse(&windows, MessageKind::MetaGraphDef).unwrap() == binary);
    assert_eq!(detect(windows.as_bytes()), Some(MessageKind::MetaGraphDef));
}

#[test]
fn an_expanded_any_is_read_and_printed_as_its_fields() {
    let (text, binary) = fixture!("expanded_any");
    assert_eq!(parse(text, MessageKind::MetaGraphDef).unwrap(), binary);
    let fields = printed(binary, MessageKind::MetaGraphDef);
    assert!(fields.contains(r#"type_url: "type.googleapis.com/tensorflow.VersionDef""#), "{fields}");
    assert_eq!(parse(&fields, MessageKind::MetaGraphDef).unwrap(), binary);
}

#[test]
fn every_spelling_of_the_grammar_gives_the_same_message() {
    let canonical = graph(
        r#"node { name: "ab" op: "Q" input: "x" input: "y" attr { key: "k" value { list { i: 1 i: 10 f: 0.5 } } }
           attr { key: "t" value { type: DT_FLOAT } } attr { key: "z" value { b: true } } }"#,
    );
    let loose = graph(
        r#"
        node: <  # a comment
          attr: [ { key: 'z', value: { b: True } }, < value { type: 1 } key: "t" > ],
          attr { key: "k" value { list { f: [5e-1f] i: [0x1] f: [] i: 012; } } }
          input: ['x', "y"]; op: "\x51", name: "a"  # goes on
            'b'
        >"#,
    );
    assert_eq!(canonical, loose);
}

#[test]
fn a_map_key_given_twice_keeps_the_last_value() {
    let twice =
        graph(r#"node { attr { key: "k" value { i: 1 } } attr { key: "a" } attr { key: "k" value { i: 2 } } }"#);
    assert_eq!(twice, graph(r#"node { attr { key: "a" value {} } attr { key: "k" value { i: 2 } } }"#));
}

#[test]
fn floats_are_the_nearest_to_what_is_written() {
    let text =
        r#"node { attr { key: "f" value { list { f: [inf, -Infinity, nan, -0.0, 7, .5, 1e-50, 3.4028235e38] } } } }"#;
    let again = printed(&graph(text), MessageKind::GraphDef);
    let values: Vec<&str> = again.lines().filter_map(|line| line.trim().strip_prefix("f: ")).collect();
    assert_eq!(values, ["inf", "-inf", "nan", "-0.0", "7.0", "0.5", "0.0", "3.4028235e+38"]);
}

#[test]
fn errors_say_where_and_what() {
    for (text, error) in [
        (
            "node {\n  nam: 1\n}",
            "line 2, column 3: tensorflow.NodeDef has no field \"nam\"; if a newer TensorFlow has one, use the binary form",
        ),
        ("node { name: \"é\" op }", "line 1, column 21: expected ':', found '}'"),
        ("node {", "line 1, column 7: expected a field name or '}', found the end of the text"),
        ("node { name: \"a }", "line 1, column 14: a string is not closed"),
        ("node { name: \"a\n\" }", "line 1, column 14: a string is not closed on its line"),
        ("node { name: \"\\400\" }", "line 1, column 15: an escape that is no byte"),
        ("node { name: \"\\ud800\" }", "line 1, column 15: an escape that is no Unicode character"),
        ("node { name: \"\\q\" }", "line 1, column 15: an escape the text format does not have"),
        ("node { name: \"\\377\" }", "line 1, column 14: this string must be UTF-8"),
        ("node { name: \"a\" name: \"b\" }", "line 1, column 18: the field \"name\" is set twice"),
        ("versions { producer: 2147483648 }", "line 1, column 22: 2147483648 is out of range for this field"),
        ("versions { producer: 1e3 }", "line 1, column 22: expected a whole number of at most 64 bits"),
        ("node { attr { value { i: 1 b: true } } }", "line 1, column 28: \"i\" and \"b\" exclude each other"),
        (
            "node { attr { value { type: DT_NONE } } }",
            "line 1, column 29: tensorflow.DataType has no value \"DT_NONE\"",
        ),
        ("node { attr { value { b: yes } } }", "line 1, column 26: expected true or false"),
        ("node { attr { value { f: x } } }", "line 1, column 26: expected a number"),
        ("node { [a.b] { } }", "line 1, column 8: expected a field name; these messages have no extensions"),
        ("node { } }", "line 1, column 10: expected a field name, found '}'"),
        ("node \u{202e}", "line 1, column 6: expected '{', found '\\u{202e}'"),
        ("0: 1", "line 1, column 1: not a field number"),
    ] {
        assert_eq!(graph_error(text), error, "{text}");
    }
}

#[test]
fn nesting_is_bounded_both_ways() {
    let too_deep = format!("nest deeper than {MAX_DEPTH} levels");
    for levels in [MAX_DEPTH, 100_000] {
        let attributes = format!("node {{ {}", "attr { value { func { ".repeat(levels));
        assert!(graph_error(&attributes).ends_with(&too_deep));
        assert!(graph_error(&"999 {".repeat(levels + 1)).ends_with(&too_deep));
    }
    let deepest = format!("node {{ {} {} }}", "attr { value { func { ".repeat(33), "} } } ".repeat(33));
    let binary = graph(&deepest);
    assert_eq!(graph(&printed(&binary, MessageKind::GraphDef)), binary);

    let mut attribute = Vec::new();
    for _ in 0..2_000 {
        for number in [2, 2, 10] {
            attribute = field(number, &attribute);
        }
    }
    let node = field(1, &field(5, &field(2, &attribute)));
    let error = print(&node, MessageKind::GraphDef, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, TextError::Wire(_)), "{error}");
}

fn field(number: u32, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_bytes(&mut out, number, value);
    out
}

#[test]
fn unknown_fields_survive_as_comments() {
    let mut binary = graph(r#"node { name: "a" } versions { producer: 1 }"#);
    binary.extend_from_slice(&[0x88, 0x06, 0x96, 0x01]);
    binary.extend_from_slice(&[0x95, 0x06, 1, 0, 0, 0]);
    binary.extend_from_slice(&[0x99, 0x06, 2, 0, 0, 0, 0, 0, 0, 0x80]);
    binary.extend_from_slice(&field(100, b"\x0a\x00\xff\n"));
    binary.extend_from_slice(&[0xab, 0x06, 0x08, 0x01, 0xac, 0x06]);
    let text = printed(&binary, MessageKind::GraphDef);
    let comments: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(
        comments,
        [
            "# tfquant unknown field 97: 150",
            "# tfquant unknown field 98: 0x00000001",
            "# tfquant unknown field 99: 0x8000000000000002",
            r#"# tfquant unknown field 100: "\n\000\377\n""#,
            r#"# tfquant unknown field 101: group "\010\001\254\006""#,
        ]
    );
    assert_eq!(graph(&text), binary);
    assert_eq!(detect(comments.join("\n").as_bytes()), None);
}

#[test]
fn a_comment_stays_a_comment_unless_it_holds_an_unknown_field() {
    let plain = graph("node { } versions { }");
    for comment in [
        "# tfquant unknown field 1: \"\"",
        "# tfquant unknown field 97",
        "# tfquant unknown field x: 1",
        "# tfquant unknown field 0: 1",
        "# tfquant unknown field 97: 1 2",
        "# tfquant unknown field 97: group \"\\010\"",
        "# tfquant unknown field 97: \"",
        "# unknown field 97: 1",
    ] {
        assert_eq!(graph(&format!("node {{ }}\n{comment}\nversions {{ }}")), plain, "{comment}");
    }
}

#[test]
fn numbers_stand_for_names() {
    assert_eq!(graph("1 { 1: \"a\" 2: \"b\" } 97: 5 98 { 1: -1 2: 0x00000007 }"), {
        let mut binary = graph(r#"node { name: "a" op: "b" }"#);
        binary.extend_from_slice(&[0x88, 0x06, 5]);
        binary.extend_from_slice(&field(98, b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x15\x07\x00\x00\x00"));
        binary
    });
}

#[test]
fn prints_what_protobuf_would_read() {
    let print_node = |node: &[u8]| printed(&field(1, node), MessageKind::GraphDef).replace(['\n', ' '], "");
    let last_wins = [field(1, b"a"), field(1, b"b")].concat();
    assert_eq!(print_node(&last_wins), r#"node{name:"b"}"#);

    let merged = [field(4, &field(1, &[0x08, 0x01])), field(4, &field(1, &[0x10, 0x02]))].concat();
    assert_eq!(printed(&merged, MessageKind::GraphDef).replace(['\n', ' '], "").matches("versions{").count(), 1);

    let oneof = field(5, &field(2, &[0x18, 0x01, 0x28, 0x01, 0x18, 0x00]));
    assert_eq!(print_node(&oneof), "node{attr{value{i:0}}}");

    let other_wire_type = [0x08, 0x01];
    assert_eq!(print_node(&other_wire_type), "node{#tfquantunknownfield1:1}");

    let packed_and_not = field(5, &field(2, &field(1, &[0x18, 0x01, 0x1a, 0x02, 0x02, 0x03])));
    assert_eq!(print_node(&packed_and_not), "node{attr{value{list{i:1i:2i:3}}}}");

    let broken_list = field(1, &field(5, &field(2, &field(1, &[0x22, 0x03, 1, 2, 3]))));
    let error = print(&broken_list, MessageKind::GraphDef, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "a packed list ends inside a value at byte 10");
}

#[test]
fn content_tells_the_kind() {
    for (text, kind) in [
        ("node {", Some(MessageKind::GraphDef)),
        ("\n# x\r\n versions\n:\n{", Some(MessageKind::GraphDef)),
        ("library<", Some(MessageKind::GraphDef)),
        ("meta_info_def {", Some(MessageKind::MetaGraphDef)),
        ("collection_def{", Some(MessageKind::MetaGraphDef)),
        ("saved_model_schema_version: 1", Some(MessageKind::SavedModel)),
        ("meta_graphs {", Some(MessageKind::SavedModel)),
        ("node", None),
        ("nodes {", None),
        ("node ate {", None),
        ("# node {", None),
        ("", None),
    ] {
        assert_eq!(detect(text.as_bytes()), kind, "{text}");
    }
}

/// Every field of the three messages, so that one of them cannot start a file of another unnoticed.
#[test]
fn no_two_kinds_share_a_field_name() {
    for kind in MessageKind::ALL {
        for field in kind.descriptor().fields() {
            assert_eq!(detect(format!("{}: 0", field.name()).as_bytes()), Some(kind));
        }
    }
}

#[test]
fn damaged_text_and_bytes_are_errors_or_other_messages_but_never_a_panic() {
    let (text, binary) = fixture!("every_kind");
    for end in (0..text.len()).step_by(5).filter(|&end| text.is_char_boundary(end)) {
        let _ = parse(&text[..end], MessageKind::GraphDef);
    }
    for replacement in ["{", "}", "\"", "\\", "#", "[", "-", "0", ":", "\n", "é"] {
        for at in
            (0..text.len() - 1).step_by(23).filter(|&at| text.is_char_boundary(at) && text.is_char_boundary(at + 1))
        {
            let _ = parse(&format!("{}{replacement}{}", &text[..at], &text[at + 1..]), MessageKind::GraphDef);
        }
    }
    for at in 0..binary.len() {
        let _ = print(&binary[..at], MessageKind::GraphDef, &mut Vec::new());
        for byte in [0x00, 0x01, 0x0b, 0x7f, 0x80, 0xff] {
            let mut damaged = binary.to_vec();
            damaged[at] = byte;
            let mut out = Vec::new();
            if print(&damaged, MessageKind::GraphDef, &mut out).is_ok() {
                let _ = parse(str::from_utf8(&out).unwrap(), MessageKind::GraphDef);
            }
        }
    }
}
