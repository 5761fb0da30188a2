package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

const (
	patience   = 20 * time.Second // no exchange takes longer, or it has failed
	headLimit  = 16 << 10
	bodyLimit  = 8 << 20
	readBuffer = 16 << 10
)

var errForm = errors.New("the answer is not HTTP/1.1 as understood here")

// link is one client's way to one KME: a kept TLS connection, or a new one for each exchange. It speaks as much
// HTTP/1.1 as an answer of a KME needs, which costs a fraction of what net/http does.
type link struct {
	end   end
	fresh bool
	conn  *tls.Conn
	group string
	space []byte // where answers are read to
	in    []byte // what was read and not used yet
}

func (l *link) open() error {
	dialer := net.Dialer{Timeout: patience}
	raw, err := dialer.Dial("tcp", l.end.address)
	if err != nil {
		return err
	}
	l.conn, l.in = tls.Client(raw, l.end.config), l.in[:0]
	if err = l.conn.SetDeadline(time.Now().Add(patience)); err == nil {
		err = l.conn.Handshake()
	}
	if err != nil {
		l.close()
		return err
	}
	l.group = l.conn.ConnectionState().CurveID.String()
	return nil
}

func (l *link) close() {
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}

// exchange sends one request and returns the status and body of its answer. The body is valid until the next exchange.
func (l *link) exchange(request []byte) (status int, body []byte, err error) {
	if l.conn == nil {
		if err = l.open(); err != nil {
			return 0, nil, err
		}
	}
	if len(l.in) > 0 { // what came after the last answer was asked for by nobody
		l.close()
		return 0, nil, errForm
	}
	l.in = l.space[:0]
	keep := false
	defer func() {
		if err != nil || l.fresh || !keep {
			l.close()
		}
	}()
	if err = l.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, nil, err
	}
	if _, err = l.conn.Write(request); err != nil {
		return 0, nil, err
	}
	status, length, keep, err := l.head()
	if err != nil {
		return 0, nil, err
	}
	if length < 0 {
		body, err = l.chunks()
	} else {
		body, err = l.take(length)
	}
	return status, body, err
}

// head reads the status line and the header fields; a length below 0 announces chunks.
func (l *link) head() (status, length int, keep bool, err error) {
	end := -1
	for from := 0; end < 0; {
		if end = bytes.Index(l.in[from:], []byte("\r\n\r\n")); end >= 0 {
			end += from
			break
		}
		if from = max(0, len(l.in)-3); len(l.in) > headLimit {
			return 0, 0, false, errForm
		}
		if err = l.more(); err != nil {
			return 0, 0, false, err
		}
	}
	lines := bytes.Split(l.in[:end], []byte("\r\n"))
	if len(lines[0]) < 12 || !bytes.HasPrefix(lines[0], []byte("HTTP/1.1 ")) {
		return 0, 0, false, errForm
	}
	if status, err = strconv.Atoi(string(lines[0][9:12])); err != nil {
		return 0, 0, false, errForm
	}
	keep = true
	for _, line := range lines[1:] {
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 || length > bodyLimit {
				return 0, 0, false, errForm
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			length = -1
		case bytes.EqualFold(name, []byte("connection")):
			keep = !bytes.EqualFold(value, []byte("close"))
		}
	}
	l.use(end + 4)
	return status, length, keep, nil
}

// chunks reads a chunked body (RFC 9112, 7.1).
func (l *link) chunks() ([]byte, error) {
	var body []byte
	for {
		line, err := l.line()
		if err != nil {
			return nil, err
		}
		size, err := strconv.ParseUint(string(line), 16, 32)
		if err != nil || len(body)+int(size) > bodyLimit {
			return nil, errForm
		}
		piece, err := l.take(int(size) + 2)
		if err != nil {
			return nil, err
		}
		if size == 0 {
			return body, nil
		}
		body = append(body, piece[:size]...)
	}
}

func (l *link) line() ([]byte, error) {
	for {
		if at := bytes.Index(l.in, []byte("\r\n")); at >= 0 {
			line := l.in[:at]
			l.use(at + 2)
			return line, nil
		}
		if len(l.in) > headLimit {
			return nil, errForm
		}
		if err := l.more(); err != nil {
			return nil, err
		}
	}
}

func (l *link) take(length int) ([]byte, error) {
	for len(l.in) < length {
		if err := l.more(); err != nil {
			return nil, err
		}
	}
	piece := l.in[:length]
	l.use(length)
	return piece, nil
}

// use drops the first bytes.
func (l *link) use(length int) { l.in = l.in[length:] }

func (l *link) more() error {
	if cap(l.in)-len(l.in) < 512 {
		larger := make([]byte, len(l.in), max(readBuffer, 2*len(l.in)))
		copy(larger, l.in)
		l.in, l.space = larger, larger
	}
	n, err := l.conn.Read(l.in[len(l.in):cap(l.in)])
	l.in = l.in[:len(l.in)+n]
	if n > 0 {
		return nil
	}
	if err == io.EOF {
		return fmt.Errorf("the server closed in the middle: %w", io.ErrUnexpectedEOF)
	}
	return err
}
