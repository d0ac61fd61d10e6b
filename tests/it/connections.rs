//! What is on its way at a connection, as the kernel tells it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use relapse::sys::connections::{Flight, any_flying, has_arrived};
use relapse::sys::sock_diag::SockDiag;
use rstest::rstest;

#[rstest]
#[case::four("127.0.0.1")]
#[case::six("::1")]
#[case::four_at_a_socket_for_six("::")]
fn what_nobody_makes_room_for_is_on_its_way(#[case] address: &str) {
    // Where the host has no such family there is nothing to send.
    let Ok(listener) = TcpListener::bind((address, 0)) else { return };
    let port = listener.local_addr().expect("an address").port();
    let target = if address == "::" { "127.0.0.1" } else { address };
    let mut here = TcpStream::connect((target, port)).expect("a connection");
    let (mut there, _) = listener.accept().expect("a connection");
    let (local, peer) = (here.local_addr().expect("an address"), here.peer_addr().expect("an address"));
    let mut kernel = SockDiag::open().expect("netlink");

    here.write_all(b"a few bytes").expect("room");
    assert!(has_arrived(&mut kernel, local, peer, true));
    assert!(has_arrived(&mut kernel, peer, local, false));
    assert!(!any_flying(Flight::Data, &[port]));

    // Until neither end has room for more.
    here.set_nonblocking(true).expect("a socket");
    let mut sent = b"a few bytes".len();
    while let Ok(count) = here.write(&[0; 65_536]) {
        sent += count;
    }
    assert!(!has_arrived(&mut kernel, local, peer, false));
    // The other end has sent nothing.
    assert!(has_arrived(&mut kernel, peer, local, false));
    assert!(any_flying(Flight::Data, &[port]) && any_flying(Flight::Data, &[1, local.port()]));
    assert!(!any_flying(Flight::Opening, &[port]));
    assert!(!any_flying(Flight::Data, &[1]) && !any_flying(Flight::Data, &[]));

    // Closed, it still has to go there.
    drop(here);
    assert!(!has_arrived(&mut kernel, local, peer, false));
    let mut read = Vec::new();
    there.read_to_end(&mut read).expect("all of it, and the end");
    assert_eq!(read.len(), sent);
    assert!(has_arrived(&mut kernel, local, peer, false));
    assert!(!any_flying(Flight::Data, &[port]));
    drop(there);
    // Now only the listener is there; it is no end of a connection.
    assert!(has_arrived(&mut kernel, local, peer, true));
    drop(listener);
    assert!(has_arrived(&mut kernel, local, peer, true));
}

#[test]
fn an_end_has_arrived_when_the_other_end_shows_it_confirmed_or_not() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut kernel = SockDiag::open().expect("netlink");
    let mut unconfirmed = 0;
    for _ in 0..20 {
        let mut here = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        let (mut there, _) = listener.accept().expect("a connection");
        let (local, peer) = (here.local_addr().expect("an address"), here.peer_addr().expect("an address"));
        // Who takes turns with the other end confirms with what it sends next, if it sends anything soon.
        for _ in 0..4 {
            here.write_all(b"a question").expect("room");
            there.read_exact(&mut [0; 10]).expect("the question");
            there.write_all(b"an answer").expect("room");
            here.read_exact(&mut [0; 9]).expect("the answer");
        }
        drop(here);
        let left = kernel.connection(local, peer).expect("an answer");
        unconfirmed += usize::from(left.is_some_and(|socket| socket.send_queue > 0));
        assert_eq!(there.read(&mut [0]).expect("the end"), 0);
        assert!(has_arrived(&mut kernel, local, peer, false));
        assert!(!any_flying(Flight::Data, &[port]));
    }
    assert!(unconfirmed > 0, "this kernel confirms at once: nothing has been tested");
}
