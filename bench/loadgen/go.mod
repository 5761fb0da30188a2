module keystrand/bench/loadgen

go 1.25
