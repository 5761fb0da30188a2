package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
)

// container is the part of a key container (ETSI GS QKD 014, 6.3) that is looked at.
type container struct {
	Keys []struct {
		ID  string `json:"key_ID"`
		Key string `json:"key"`
	} `json:"keys"`
}

// mark stands for a key or an ID: the front of its hash. The load generator keeps no key.
type mark [16]byte

func markOf(text string) (m mark) {
	sum := sha256.Sum256([]byte(text))
	copy(m[:], sum[:])
	return m
}

// repeats returns how many of the marks came before.
func repeats(marks []mark) (again int) {
	slices.SortFunc(marks, func(a, b mark) int { return bytes.Compare(a[:], b[:]) })
	for i := 1; i < len(marks); i++ {
		if marks[i] == marks[i-1] {
			again++
		}
	}
	return again
}

var errContainer = errors.New("the answer is not the key container that was asked for")

// open reads an answer and checks that it holds `number` keys of `sizeBits` bits each in canonical base64.
func (c *container) open(body []byte, number, sizeBits int) error {
	c.Keys = c.Keys[:0]
	if err := json.Unmarshal(body, c); err != nil {
		return fmt.Errorf("%w: %w", errContainer, err)
	}
	if len(c.Keys) != number {
		return errContainer
	}
	for _, key := range c.Keys {
		bits, err := base64.StdEncoding.Strict().DecodeString(key.Key)
		if err != nil || 8*len(bits) != sizeBits || key.ID == "" {
			return errContainer
		}
	}
	return nil
}

// differences returns how many keys of `near` have no equal under the same ID in `far`. Equal text is equal bytes,
// since both were found canonical.
func differences(near, far *container) (wrong int) {
	for i, key := range near.Keys {
		if i < len(far.Keys) && far.Keys[i] == key {
			continue
		}
		if !slices.Contains(far.Keys, key) {
			wrong++
		}
	}
	return wrong
}

// questions makes the requests of one client.
type questions struct {
	plan      plan
	near, far end
	ask       []byte // the one that is always the same
	text      bytes.Buffer
}

func newQuestions(p plan, near, far end) *questions {
	q := &questions{plan: p, near: near, far: far}
	place := "/api/v1/keys/" + url.PathEscape(far.sae)
	switch {
	case p.mode == "status":
		q.ask = q.request("GET", place+"/status", near, nil)
	case p.byGet && p.number == 1:
		q.ask = q.request("GET", place+"/enc_keys?number=1&size="+strconv.Itoa(p.sizeBits), near, nil)
	default:
		body := fmt.Sprintf(`{"number":%d,"size":%d}`, p.number, p.sizeBits)
		q.ask = q.request("POST", place+"/enc_keys", near, []byte(body))
	}
	return q
}

func (q *questions) request(method, target string, to end, body []byte) []byte {
	var text bytes.Buffer
	text.WriteString(method + " " + target + " HTTP/1.1\r\nHost: " + to.address + "\r\n")
	if q.plan.fresh {
		text.WriteString("Connection: close\r\n")
	}
	if body != nil {
		fmt.Fprintf(&text, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	text.WriteString("\r\n")
	text.Write(body)
	return text.Bytes()
}

// fetch returns the second half of a pair: the request for the keys that came.
func (q *questions) fetch(c *container) []byte {
	place := "/api/v1/keys/" + url.PathEscape(q.near.sae) + "/dec_keys"
	if q.plan.byGet && len(c.Keys) == 1 {
		return q.request("GET", place+"?key_ID="+url.QueryEscape(c.Keys[0].ID), q.far, nil)
	}
	q.text.Reset()
	q.text.WriteString(`{"key_IDs":[`)
	for i, key := range c.Keys {
		if i > 0 {
			q.text.WriteByte(',')
		}
		q.text.WriteString(`{"key_ID":` + strconv.Quote(key.ID) + `}`)
	}
	q.text.WriteString(`]}`)
	return q.request("POST", place, q.far, q.text.Bytes())
}
