package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// afterError is how long a client waits before it asks a server again that refused it: refusals are not the load.
const afterError = 5 * time.Millisecond

// quantiles of one kind of request, in milliseconds.
type quantiles struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
}

// report is what was seen. Rounds are pairs in mode pair, else requests; an error is named by its HTTP status, or
// "transport" where no whole answer came, or "form" where the answer was not what was asked for.
type report struct {
	Mode       string         `json:"mode"`
	Clients    int            `json:"clients"`
	Number     int            `json:"number"`
	SizeBits   int            `json:"size_bits"`
	Fresh      bool           `json:"fresh"`
	Group      string         `json:"group"`
	Seconds    float64        `json:"seconds"`
	Rounds     int64          `json:"rounds"`
	Keys       int64          `json:"keys"`
	Errors     map[string]int `json:"errors"`
	FirstError string         `json:"first_error"`
	Mismatches int            `json:"mismatches"`
	Duplicates int            `json:"duplicates"`
	Stored     int64          `json:"stored_key_count"`
	EncMs      quantiles      `json:"enc_ms"`
	DecMs      quantiles      `json:"dec_ms"`
	CpuSeconds float64        `json:"cpu_seconds"`
}

// client is one of those that ask, with what it saw.
type client struct {
	plan       plan
	near, far  link
	ask        *questions
	got, again container
	encs, decs []time.Duration
	marks      []mark
	rounds     int64
	wrong      int
	errors     map[string]int
	firstError string
	stored     int64
}

// drive runs the plan and returns the report. Kept connections are made before the time starts.
func drive(p plan, near, far end) (*report, error) {
	clients := make([]*client, p.clients)
	for i := range clients {
		clients[i] = &client{
			plan: p, near: link{end: near, fresh: p.fresh}, far: link{end: far, fresh: p.fresh},
			ask: newQuestions(p, near, far), errors: map[string]int{},
		}
	}
	if !p.fresh {
		if err := connect(clients, p.mode == "pair"); err != nil {
			return nil, err
		}
	}
	var left atomic.Int64
	left.Store(p.count)
	limit := p.duration
	if p.count > 0 {
		limit *= 10
	}
	begin, cpu := time.Now(), cpuSeconds()
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() {
			for time.Since(begin) < limit && (p.count == 0 || left.Add(-1) >= 0) {
				if !c.round() {
					left.Add(1)
					time.Sleep(afterError)
				}
			}
		})
	}
	all.Wait()
	r := &report{Mode: p.mode, Clients: p.clients, Number: p.number, SizeBits: p.sizeBits, Fresh: p.fresh}
	r.Seconds, r.CpuSeconds = time.Since(begin).Seconds(), cpuSeconds()-cpu
	r.add(clients)
	return r, nil
}

func connect(clients []*client, both bool) error {
	errs := make([]error, len(clients))
	var all sync.WaitGroup
	for i, c := range clients {
		all.Go(func() {
			if errs[i] = c.near.open(); errs[i] == nil && both {
				errs[i] = c.far.open()
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// round asks once, in both halves where the plan says pair, and returns whether all of it was answered.
func (c *client) round() bool {
	body, ok := c.timed(&c.near, c.ask.ask, &c.encs)
	if !ok {
		return false
	}
	switch {
	case c.plan.unchecked:
		return c.countRound(c.plan.mode != "pair" || c.bare())
	case c.plan.mode == "status":
		return c.countRound(c.status(body))
	}
	if err := c.got.open(body, c.plan.number, c.plan.sizeBits); err != nil {
		return c.fail("form", err.Error())
	}
	for _, key := range c.got.Keys {
		c.marks = append(c.marks, markOf(key.ID), markOf(key.Key))
	}
	return c.countRound(c.plan.mode != "pair" || c.second())
}

func (c *client) countRound(ok bool) bool {
	if ok {
		c.rounds++
	}
	return ok
}

// second is the slave's half: the same keys at the other end.
func (c *client) second() bool {
	body, ok := c.timed(&c.far, c.ask.fetch(&c.got), &c.decs)
	if !ok {
		return false
	}
	if err := c.again.open(body, c.plan.number, c.plan.sizeBits); err != nil {
		return c.fail("form", err.Error())
	}
	c.wrong += differences(&c.got, &c.again)
	return true
}

// bare is a second half for a server that knows no keys.
func (c *client) bare() bool {
	c.got.Keys = c.got.Keys[:0]
	for range c.plan.number {
		c.got.Keys = append(c.got.Keys, struct {
			ID  string `json:"key_ID"`
			Key string `json:"key"`
		}{ID: "00000000-0000-4000-8000-000000000000"})
	}
	_, ok := c.timed(&c.far, c.ask.fetch(&c.got), &c.decs)
	return ok
}

func (c *client) status(body []byte) bool {
	var s struct {
		Stored *int64 `json:"stored_key_count"`
	}
	if err := json.Unmarshal(body, &s); err != nil || s.Stored == nil {
		return c.fail("form", "the answer is not a status")
	}
	c.stored = *s.Stored
	return true
}

func (c *client) timed(l *link, request []byte, times *[]time.Duration) ([]byte, bool) {
	begin := time.Now()
	status, body, err := l.exchange(request)
	if err != nil {
		return nil, c.fail("transport", err.Error())
	}
	if status != 200 {
		return nil, c.fail(fmt.Sprint(status), string(body[:min(len(body), 300)]))
	}
	*times = append(*times, time.Since(begin))
	return body, true
}

func (c *client) fail(kind, what string) bool {
	c.errors[kind]++
	if c.firstError == "" {
		c.firstError = kind + ": " + what
	}
	return false
}

func (r *report) add(clients []*client) {
	r.Errors = map[string]int{}
	var encs, decs []time.Duration
	var marks []mark
	for _, c := range clients {
		r.Rounds += c.rounds
		r.Mismatches += c.wrong
		r.Stored = max(r.Stored, c.stored)
		r.Group = max(r.Group, c.near.group)
		encs, decs, marks = append(encs, c.encs...), append(decs, c.decs...), append(marks, c.marks...)
		for kind, times := range c.errors {
			r.Errors[kind] += times
		}
		if r.FirstError == "" {
			r.FirstError = c.firstError
		}
	}
	if r.Mode != "status" {
		r.Keys = r.Rounds * int64(r.Number)
	}
	r.Duplicates = repeats(marks)
	r.EncMs, r.DecMs = quantilesOf(encs), quantilesOf(decs)
}

func quantilesOf(times []time.Duration) quantiles {
	if len(times) == 0 {
		return quantiles{}
	}
	slices.Sort(times)
	var sum time.Duration
	for _, t := range times {
		sum += t
	}
	ms := func(t time.Duration) float64 { return float64(t.Microseconds()) / 1000 }
	at := func(share float64) float64 { return ms(times[int(share*float64(len(times)-1)+0.5)]) }
	return quantiles{ms(sum / time.Duration(len(times))), at(0.5), at(0.95), at(0.99), at(1)}
}

func cpuSeconds() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}
