// A server with golang.org/x/crypto/acme/autocert, and the same package's client step by step.
//
//	autocert_program serve -directory URL -trust PEM -hosts A,B -cache DIR -tls ADDR [-http ADDR] [-default A]
//	autocert_program steps -directory URL -trust PEM -hosts A -http ADDR [-kid K -mac BASE64URL]
//
// `steps` opens an account, changes its key, proves a name, has a certificate, asks for other chains,
// revokes by the certificate's key and closes the account. Each prints one line.
package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

var (
	flags     = flag.NewFlagSet("autocert_program", flag.ExitOnError)
	directory = flags.String("directory", "", "URL")
	trust     = flags.String("trust", "", "PEM")
	hosts     = flags.String("hosts", "", "names, comma between them")
	cache     = flags.String("cache", "", "folder")
	tlsPlace  = flags.String("tls", "", "address for TLS")
	httpPlace = flags.String("http", "", "address for http-01; none: tls-alpn-01 only")
	preset    = flags.String("default", "", "name for clients that send none")
	kid       = flags.String("kid", "", "external account")
	mac       = flags.String("mac", "", "its key")
)

func main() {
	must(flags.Parse(os.Args[2:]))
	if os.Args[1] == "steps" {
		steps()
	} else {
		serve()
	}
}

func client() *acme.Client {
	pem, err := os.ReadFile(*trust)
	must(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	return &acme.Client{
		DirectoryURL: *directory,
		HTTPClient:   &http.Client{Transport: transport, Timeout: 30 * time.Second},
	}
}

func serve() {
	manager := &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		HostPolicy: withoutPort(autocert.HostWhitelist(strings.Split(*hosts, ",")...)),
		Cache:      autocert.DirCache(*cache),
		Email:      "postmaster@example.org",
		Client:     client(),
	}
	settings := manager.TLSConfig()
	find := settings.GetCertificate
	settings.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName == "" && *preset != "" {
			hello.ServerName = *preset
		}
		found, err := find(hello)
		if err != nil {
			log.Printf("%q: %v", hello.ServerName, err)
		}
		return found, err
	}
	if *httpPlace != "" {
		go func() { log.Fatal(http.ListenAndServe(*httpPlace, manager.HTTPHandler(nil))) }()
	}
	listener, err := net.Listen("tcp", *tlsPlace)
	must(err)
	log.Fatal((&http.Server{Handler: http.NotFoundHandler()}).Serve(tls.NewListener(listener, settings)))
}

// HTTPHandler gives the policy the port too, where validation does not come to port 80.
func withoutPort(policy autocert.HostPolicy) autocert.HostPolicy {
	return func(ctx context.Context, host string) error {
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		return policy(ctx, host)
	}
}

func steps() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	asking := client()
	asking.Key = newKey()
	account := &acme.Account{Contact: []string{"mailto:postmaster@example.org"}}
	if *kid != "" {
		octets, err := base64.RawURLEncoding.DecodeString(*mac)
		must(err)
		account.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: *kid, Key: octets}
	}
	_, err := asking.Register(ctx, account, acme.AcceptTOS)
	must(err)
	fmt.Println("registered")
	account, err = asking.GetReg(ctx, "")
	must(err)
	account.Contact = []string{"mailto:hostmaster@example.org"}
	account, err = asking.UpdateReg(ctx, account)
	must(err)
	fmt.Println("contact", account.Contact[0])
	must(asking.AccountKeyRollover(ctx, newKey()))
	fmt.Println("key changed")

	certificateKey := newKey()
	chain, place := order(ctx, asking, certificateKey)
	fmt.Println("certificates", len(chain))
	others, err := asking.ListCertAlternates(ctx, place)
	must(err)
	for _, other := range others {
		found, err := asking.FetchCert(ctx, other, true)
		must(err)
		fmt.Println("alternate", len(found))
	}
	must(asking.RevokeCert(ctx, certificateKey, chain[0], acme.CRLReasonKeyCompromise))
	fmt.Println("revoked by its key")
	chain, _ = order(ctx, asking, newKey())
	must(asking.RevokeCert(ctx, nil, chain[0], acme.CRLReasonSuperseded))
	fmt.Println("revoked by the account")
	must(asking.DeactivateReg(ctx))
	if _, err = asking.AuthorizeOrder(ctx, acme.DomainIDs(*hosts)); err == nil {
		log.Fatal("a closed account has an order")
	}
	fmt.Println("closed")
}

// order proves the name by http-01, and gives the chain and where it is.
func order(ctx context.Context, asking *acme.Client, key crypto.Signer) ([][]byte, string) {
	made, err := asking.AuthorizeOrder(ctx, acme.DomainIDs(*hosts))
	must(err)
	for _, place := range made.AuthzURLs {
		prove(ctx, asking, place)
	}
	made, err = asking.WaitOrder(ctx, made.URI)
	must(err)
	request := &x509.CertificateRequest{DNSNames: []string{*hosts}}
	csr, err := x509.CreateCertificateRequest(rand.Reader, request, key)
	must(err)
	chain, place, err := asking.CreateOrderCert(ctx, made.FinalizeURL, csr, true)
	must(err)
	return chain, place
}

func prove(ctx context.Context, asking *acme.Client, place string) {
	authorization, err := asking.GetAuthorization(ctx, place)
	must(err)
	if authorization.Status == acme.StatusValid {
		return
	}
	for _, challenge := range authorization.Challenges {
		if challenge.Type != "http-01" {
			continue
		}
		answer, err := asking.HTTP01ChallengeResponse(challenge.Token)
		must(err)
		listener, err := net.Listen("tcp", *httpPlace)
		must(err)
		defer listener.Close()
		go http.Serve(listener, http.HandlerFunc(func(to http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(to, answer)
		}))
		_, err = asking.Accept(ctx, challenge)
		must(err)
		_, err = asking.WaitAuthorization(ctx, place)
		must(err)
	}
}

func newKey() crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	return key
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
