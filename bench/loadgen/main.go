// Command loadgen asks one or two key management entities for keys over ETSI GS QKD 014, as fast as they answer.
//
// It is a closed loop: each of C clients has one question on the way at a time. In mode pair a client asks its first
// SAE's KME for keys (enc_keys), then the second SAE's KME for the same keys by their IDs (dec_keys), and compares them
// byte by byte; at the end no key and no ID may have come twice. Mode enc leaves the second half out, mode status asks
// for the status only. What was seen goes to standard output as one JSON object.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

// plan is what the command line asks for.
type plan struct {
	lab       string
	mode      string
	clients   int
	number    int
	sizeBits  int
	duration  time.Duration
	count     int64
	fresh     bool
	resume    bool
	byGet     bool
	unchecked bool
	classical bool
	procs     int
}

func parse() (plan, error) {
	var p plan
	flag.StringVar(&p.lab, "lab", "", "lab.json of the KMEs to ask")
	flag.StringVar(&p.mode, "mode", "pair", "pair, enc or status")
	flag.IntVar(&p.clients, "c", 1, "clients at once")
	flag.IntVar(&p.number, "n", 1, "keys a request")
	flag.IntVar(&p.sizeBits, "size", 256, "bits a key")
	flag.DurationVar(&p.duration, "duration", 3*time.Second, "how long, where no count is given")
	flag.Int64Var(&p.count, "count", 0, "how many rounds, at most for ten times the duration")
	flag.BoolVar(&p.fresh, "fresh", false, "a new TLS connection for each request")
	flag.BoolVar(&p.resume, "resume", false, "let new connections resume a TLS session")
	flag.BoolVar(&p.byGet, "get", false, "ask by GET where one key is asked for")
	flag.BoolVar(&p.unchecked, "unchecked", false, "the server is no KME: compare nothing")
	flag.BoolVar(&p.classical, "classical", false, "offer X25519 only")
	flag.IntVar(&p.procs, "procs", 1, "processors to use: the rest is for the KMEs on the same machine")
	flag.Parse()
	switch {
	case p.lab == "":
		return p, errors.New("-lab FILE is missing")
	case p.mode != "pair" && p.mode != "enc" && p.mode != "status":
		return p, fmt.Errorf("-mode %s: not pair, enc or status", p.mode)
	case p.clients < 1 || p.number < 1 || p.sizeBits < 8 || p.sizeBits%8 != 0 || p.duration <= 0 || p.procs < 1:
		return p, errors.New("-c, -n, -size, -duration or -procs is out of range")
	}
	return p, nil
}

func run() error {
	p, err := parse()
	if err != nil {
		return err
	}
	near, far, err := readLab(p)
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(p.procs)
	debug.SetGCPercent(400) // little is kept, so collecting seldom costs less than it saves
	report, err := drive(p, near, far)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
}
