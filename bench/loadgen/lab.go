package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
)

// lab is the file in which a running lab names its KMEs and SAEs. Relative paths start at its folder.
type lab struct {
	CA   string `json:"ca"`
	KMEs []struct {
		ID  string `json:"id"`
		URL string `json:"url"`
	} `json:"kmes"`
	SAEs []struct {
		ID   string `json:"id"`
		Cert string `json:"cert"`
		Key  string `json:"key"`
		KME  string `json:"kme"`
	} `json:"saes"`
}

// end is one SAE and the KME that serves it.
type end struct {
	sae     string
	address string
	config  *tls.Config
}

// readLab returns the first two SAEs of the lab.
func readLab(p plan) (near, far end, err error) {
	raw, err := os.ReadFile(p.lab)
	if err != nil {
		return near, far, err
	}
	var l lab
	if err = json.Unmarshal(raw, &l); err != nil {
		return near, far, fmt.Errorf("%s: %w", p.lab, err)
	}
	if len(l.SAEs) < 2 {
		return near, far, fmt.Errorf("%s names %d SAEs where two are needed", p.lab, len(l.SAEs))
	}
	if near, err = l.end(0, p); err != nil {
		return near, far, err
	}
	far, err = l.end(1, p)
	return near, far, err
}

func (l *lab) end(at int, p plan) (end, error) {
	folder, sae := filepath.Dir(p.lab), l.SAEs[at]
	in := func(path string) string {
		if filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(folder, path)
	}
	authority, err := os.ReadFile(in(l.CA))
	if err != nil {
		return end{}, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return end{}, fmt.Errorf("%s holds no certificate", l.CA)
	}
	pair, err := tls.LoadX509KeyPair(in(sae.Cert), in(sae.Key))
	if err != nil {
		return end{}, err
	}
	for _, kme := range l.KMEs {
		if kme.ID != sae.KME {
			continue
		}
		place, err := url.Parse(kme.URL)
		if err != nil {
			return end{}, err
		}
		return end{sae.ID, place.Host, configuration(p, roots, pair, place.Hostname())}, nil
	}
	return end{}, fmt.Errorf("SAE %s is at KME %s, which the lab does not name", sae.ID, sae.KME)
}

func configuration(p plan, roots *x509.CertPool, pair tls.Certificate, host string) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, ServerName: host}
	c.InsecureSkipVerify, c.VerifyConnection = true, verifier(roots, host)
	if p.resume {
		c.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	if p.classical {
		c.CurvePreferences = []tls.CurveID{tls.X25519}
	}
	return c
}

// verifier checks the server's chain and name as crypto/tls does by itself, but the same certificate only once: to do
// it again for each new connection would be a load on the machine that says nothing of the server.
func verifier(roots *x509.CertPool, host string) func(tls.ConnectionState) error {
	var known atomic.Pointer[x509.Certificate]
	return func(state tls.ConnectionState) error {
		leaf := state.PeerCertificates[0]
		if seen := known.Load(); seen != nil && seen.Equal(leaf) {
			return nil
		}
		between := x509.NewCertPool()
		for _, certificate := range state.PeerCertificates[1:] {
			between.AddCert(certificate)
		}
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: host})
		if err == nil {
			known.Store(leaf)
		}
		return err
	}
}
